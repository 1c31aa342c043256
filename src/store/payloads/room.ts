import { MizanError } from '../../core/errors.ts';
import type { KeptPayload, PayloadLog } from '../../core/payload.ts';
import { keyIdOf } from '../../security/envelope.ts';
import type { KeyRing } from '../../security/key-ring.ts';
import type { PayloadsTable } from '../schema.ts';
import type { PayloadDocument, PayloadKey } from './document.ts';
import { contextOf } from './document.ts';

/** Where what was said is sealed, and opened again. */
export interface PayloadRoom extends PayloadLog {
  open(row: PayloadsTable): Promise<KeptPayload>;
}

/**
 * Opens a row, as far as there is a key to it.
 * @param open May throw `unsealable`.
 * @param damaged Is told of a row that doesn't open with its own key.
 */
export async function openRow(
  row: PayloadsTable,
  ring: KeyRing,
  {
    open,
    damaged,
  }: {
    readonly open: (sealed: Uint8Array, key: PayloadKey) => PayloadDocument | Promise<PayloadDocument>;
    readonly damaged: ((error: MizanError) => void) | undefined;
  },
): Promise<KeptPayload> {
  const { tenant, request_id: requestId, sealed } = row;
  const facts = { requestBytes: row.request_bytes, answerBytes: row.answer_bytes, isCut: row.is_cut === 1 };
  const unreadable: KeptPayload = { isReadable: false, request: null, answer: null, error: null, ...facts };
  const id = keyIdOf(sealed);
  const { purpose } = contextOf(tenant, requestId);
  const key = id === null ? undefined : ring.find(id, tenant, purpose);
  if (key === undefined) return unreadable;
  try {
    return { isReadable: true, ...(await open(sealed, { id: key.id, secret: key.secret })), ...facts };
  } catch (error) {
    if (!(error instanceof MizanError) || error.code !== 'unsealable') throw error;
    damaged?.(error);
    return unreadable;
  }
}
