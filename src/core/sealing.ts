/** What sealed data is for. Purposes never share a key, so nothing that was sealed for one opens as another. */
export const sealPurposes = ['secret', 'api-key', 'payload', 'job', 'cache', 'session', 'backup', 'message'] as const;

export type SealPurpose = (typeof sealPurposes)[number];

/** Where sealed data belongs. It opens there and nowhere else. */
export interface SealContext {
  /** Whose it is; `system` for what is nobody's in particular. */
  readonly tenant: string;
  readonly purpose: SealPurpose;
  /** The row, key or file that it lies in: a sealed value that was moved elsewhere doesn't open. */
  readonly row: string;
}

/**
 * The one way in which data is sealed at rest: AES-256-GCM (NIST SP 800-38D) under a data key per tenant and purpose,
 * which a master key wraps. Synchronous, and costs tens of µs: off the main thread wherever an answer waits.
 */
export interface Sealing {
  /** @throws MizanError `internal` where there is no key to be had. */
  seal(data: Uint8Array, context: SealContext): Buffer;
  /** @throws MizanError `unsealable` for anything but the very bytes that `seal` made for this context. */
  open(sealed: Uint8Array, context: SealContext): Buffer;
}
