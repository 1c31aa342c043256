import type { KeyObject } from 'node:crypto';
import { zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import type { PublicError } from '../../core/errors.ts';
import type { SealContext } from '../../core/sealing.ts';
import { openWith, sealWith } from '../../security/envelope.ts';
import type { PayloadsTable } from '../schema.ts';

/** A key that seals, on its way to a thread. */
export interface PayloadKey {
  readonly id: string;
  readonly secret: KeyObject;
}

/** What was said in one call, ready to be sealed. */
export interface PlainPayload {
  readonly tenant: string;
  readonly requestId: string;
  /** As much as is kept; `null` for none. */
  readonly request: Uint8Array;
  readonly answer: Uint8Array | null;
  readonly error: PublicError | null;
  /** How long they were, in bytes. */
  readonly requestBytes: number;
  readonly answerBytes: number;
}

/** What is sealed: its texts, and what the caller was told went wrong. */
export interface PayloadDocument {
  readonly request: string | null;
  readonly answer: string | null;
  readonly error: PublicError | null;
}

/** No document is longer than this, in bytes. */
const maxDocumentBytes = 64 * 1024 * 1024;

export function contextOf(tenant: string, requestId: string): SealContext {
  return { tenant, purpose: 'payload', row: requestId };
}

/** Compressed, then sealed: the row as it is kept. */
export function sealPayload(payload: PlainPayload, key: PayloadKey): PayloadsTable {
  const { tenant, requestId, request, answer, error, requestBytes, answerBytes } = payload;
  const isRequestCut = request.length < requestBytes;
  const isAnswerCut = (answer?.length ?? 0) < answerBytes;
  const document: PayloadDocument = {
    request: request.length === 0 ? null : textOf(request, isRequestCut),
    answer: answer === null ? null : textOf(answer, isAnswerCut),
    error,
  };
  const compressed = zstdCompressSync(JSON.stringify(document));
  return {
    tenant,
    request_id: requestId,
    sealed: sealWith(key.secret, key.id, compressed, contextOf(tenant, requestId)),
    request_bytes: requestBytes,
    answer_bytes: answerBytes,
    is_cut: isRequestCut || isAnswerCut ? 1 : 0,
  };
}

/** @throws MizanError `unsealable` */
export function openPayload(sealed: Uint8Array, key: PayloadKey, context: SealContext): PayloadDocument {
  const compressed = openWith(key.secret, key.id, sealed, context);
  const text = zstdDecompressSync(compressed, { maxOutputLength: maxDocumentBytes }).toString();
  return JSON.parse(text) as PayloadDocument;
}

/** Without half a character where it was cut. */
function textOf(bytes: Uint8Array, isCut: boolean): string {
  return new TextDecoder().decode(bytes, { stream: isCut });
}
