/** What the store's worker is asked. */
export type WorkerQuestion =
  | { readonly kind: 'read'; readonly sql: string; readonly parameters: readonly unknown[] }
  | { readonly kind: 'checkpoint' };
