/** A table as both engines have it. */
export interface TableShape {
  readonly name: string;
  readonly columns: readonly string[];
  /** The columns of its primary key, in their order. */
  readonly key: readonly string[];
}

/** Numbers, texts, bytes and `null`. */
export type Cell = number | bigint | string | Uint8Array | null;

export type Row = Readonly<Record<string, Cell>>;

/** One of the two databases of a copy. Nobody else's changes are seen between opening and closing it. */
export interface CopyEnd {
  /** The rows whose key comes after `after`, in the order of keys; as many as make a page. */
  page(table: TableShape, after: readonly Cell[] | null): Promise<readonly Row[]>;
  count(table: TableShape): Promise<number>;
  /** Rows that are there already stay as they are. */
  insert(table: TableShape, rows: readonly Row[]): Promise<void>;
  /** Lets the next page see what was inserted. */
  refresh(): Promise<void>;
  close(): Promise<void>;
}

/** Rows of a page: all that is in memory. What was said is large. */
export function pageRows({ name }: TableShape): number {
  return name === 'payloads' ? 16 : 1000;
}
