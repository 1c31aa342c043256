import type { DatabaseSync } from 'node:sqlite';
import type { MizanError } from '../../core/errors.ts';
import type { KeptPayload, Payload } from '../../core/payload.ts';
import type { KeyRing } from '../../security/key-ring.ts';
import type { PayloadsTable } from '../schema.ts';
import { openPayload, sealPayload, contextOf } from './document.ts';
import type { PayloadRoom } from './room.ts';
import { openRow } from './room.ts';
import { PayloadWriter } from './writer.ts';

/** Seals and opens at once: for commands that run and end. */
export class DirectPayloads implements PayloadRoom {
  readonly #database: DatabaseSync;
  readonly #ring: KeyRing;
  readonly #damaged: ((error: MizanError) => void) | undefined;

  constructor(database: DatabaseSync, ring: KeyRing, damaged: ((error: MizanError) => void) | undefined) {
    this.#database = database;
    this.#ring = ring;
    this.#damaged = damaged;
  }

  keep(payload: Payload): void {
    const { requestId, tenant, request, error } = payload;
    const answer = payload.answer();
    const plain = { requestId, tenant, error, request: request.bytes, answer: answer?.bytes ?? null };
    const lengths = { requestBytes: request.wholeBytes, answerBytes: answer?.wholeBytes ?? 0 };
    const key = this.#ring.take(tenant, 'payload');
    new PayloadWriter(this.#database).write([sealPayload({ ...plain, ...lengths }, key)]);
  }

  open(row: PayloadsTable): Promise<KeptPayload> {
    const context = contextOf(row.tenant, row.request_id);
    const open = (sealed: Uint8Array, key: Parameters<typeof openPayload>[1]) => openPayload(sealed, key, context);
    return openRow(row, this.#ring, { open, damaged: this.#damaged });
  }
}
