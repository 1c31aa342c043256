import type { Secret } from '../../core/secret.ts';
import { everyTenant } from '../../core/request-record.ts';
import { AuditChain, genesis, isSame, storedValues } from '../sqlite/audit-chain.ts';
import type { AuditHead } from '../sqlite/audit-chain.ts';
import type { AuditCopy } from './audit-everywhere.ts';
import { auditCopies } from './audit-everywhere.ts';
import { logName } from './audit-copies.ts';
import { kyselyOver, openPool } from './connection.ts';

/** What came of looking at the copies of one machine's log. */
export interface CopiesVerdict {
  readonly log: string;
  /** The machine that copied the newest. */
  readonly host: string;
  readonly entries: number;
  /** `whole`, or `unchecked` where its key is not among those given; else the first entry that is not what was written. */
  readonly verdict: 'whole' | 'unchecked' | { readonly seq: number; readonly reason: string };
}

/** A key, and how far the log has got that it belongs to, where that is known. */
export interface LogKey {
  readonly key: Secret<string>;
  readonly head: AuditHead | null;
}

/**
 * Looks at every copy that PostgreSQL at `url` has of audit logs, by the keys of the machines that they are of. After a
 * restore a log has the same numbers again with other entries, so that it is a tree: an entry is what was written if any
 * entry before it leads to it.
 */
export async function checkCopies(url: string, keys: readonly LogKey[]): Promise<CopiesVerdict[]> {
  const known = new Map(keys.map((each) => [logName(each.key), each]));
  const db = kyselyOver(openPool(url, { max: 1, statementTimeoutMs: 60_000 }));
  const walks: CopiesWalk[] = [];
  try {
    for await (const copy of auditCopies(db, everyTenant)) {
      if (walks.at(-1)?.log !== copy.log) walks.push(new CopiesWalk(copy.log, known.get(copy.log) ?? null));
      walks.at(-1)?.add(copy);
    }
  } finally {
    await db.destroy();
  }
  return walks.map((walk) => walk.verdict());
}

/** Along the copies of one log, in the order of their numbers. */
class CopiesWalk {
  readonly log: string;
  readonly #chain: AuditChain | null;
  readonly #head: AuditHead | null;
  #host = '';
  #entries = 0;
  /** The entries of the number before, and those of the number that is looked at. */
  #before: readonly AuditHead[] = [];
  #here: AuditHead[] = [genesis];
  #isHeadSeen = false;
  #fault: { readonly seq: number; readonly reason: string } | null = null;

  constructor(log: string, key: LogKey | null) {
    this.log = log;
    this.#chain = key === null ? null : new AuditChain(key.key);
    this.#head = key?.head ?? null;
  }

  add(copy: AuditCopy): void {
    this.#host = copy.host;
    this.#entries++;
    if (this.#chain === null || this.#fault !== null) return;
    const at = this.#here[0]?.seq ?? 0;
    if (copy.seq > at + 1 || copy.seq < 1) {
      this.#fault = { seq: at + 1, reason: `entries are missing before ${copy.seq}` };
      return;
    }
    if (copy.seq === at + 1) [this.#before, this.#here] = [this.#here, []];
    const mac = Buffer.from(copy.mac, 'hex');
    const chain = this.#chain;
    if (!this.#before.some((head) => leadsTo(chain, head, copy, mac))) {
      this.#fault = { seq: copy.seq, reason: 'the entry, or the one before it, is not what was written' };
      return;
    }
    this.#here.push({ seq: copy.seq, mac });
    if (copy.seq === this.#head?.seq && isSame(mac, this.#head.mac)) this.#isHeadSeen = true;
  }

  verdict(): CopiesVerdict {
    const { log } = this;
    return { log, host: this.#host, entries: this.#entries, verdict: this.#verdict() };
  }

  #verdict(): CopiesVerdict['verdict'] {
    if (this.#chain === null) return 'unchecked';
    if (this.#fault !== null) return this.#fault;
    if (this.#head === null || this.#head.seq === 0 || this.#isHeadSeen) return 'whole';
    const { seq } = this.#head;
    return { seq, reason: `the newest entries are missing, up to ${seq}` };
  }
}

function leadsTo(chain: AuditChain, before: AuditHead, copy: AuditCopy, mac: Buffer): boolean {
  if (isSame(chain.mac(before, copy.seq, storedValues(copy)), mac)) return true;
  // PostgreSQL has no texts with U+0000, which went there as something else.
  return isSame(chain.mac(before, copy.seq, storedValues(withNulls(copy))), mac);
}

function withNulls(copy: AuditCopy): AuditCopy {
  const values = Object.entries(copy).map(([column, value]: [string, unknown]) => [
    column,
    typeof value === 'string' ? value.replaceAll('\uFFFD', '\u0000') : value,
  ]);
  return Object.fromEntries(values) as AuditCopy;
}
