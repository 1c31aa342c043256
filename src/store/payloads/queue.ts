import { Worker } from 'node:worker_threads';
import { MizanError } from '../../core/errors.ts';
import type { KeptPayload, Payload, Said } from '../../core/payload.ts';
import type { KeyRing } from '../../security/key-ring.ts';
import type { PayloadsTable } from '../schema.ts';
import { Thread } from '../thread.ts';
import type { PayloadDocument, PayloadKey } from './document.ts';
import { contextOf } from './document.ts';
import type { PayloadRoom } from './room.ts';
import { openRow } from './room.ts';
import type { PackedPayload, PayloadQuestion } from './worker-protocol.ts';

/** What waits, at most, in bytes: then the oldest is given up. */
const maxWaitingBytes = 32 * 1024 * 1024;

/** What is sent to the thread at a time, at most. */
const batch = { payloads: 256, bytes: 4 * 1024 * 1024 };

/** In ms: how long is waited for more to come, and for how long where it can't be written. */
const pace = { collectMs: 200, retryMs: 500 };

/** What the queue reports of itself. */
export interface PayloadEvents {
  /** Nothing can be kept; told once until it can be again. */
  failed(error: unknown): void;
  recovered(): void;
  /** Payloads were given up, because too many wait or because there is no key for them. */
  dropped(count: number): void;
}

interface Waiting {
  readonly payload: Payload;
  answer?: Said | null;
}

/** What was said, on its way to a thread of its own that seals and writes it. Bounded by bytes. */
export class PayloadQueue implements PayloadRoom {
  readonly #ring: KeyRing;
  readonly #events: PayloadEvents;
  readonly #damaged: ((error: MizanError) => void) | undefined;
  readonly #thread: Thread<PayloadQuestion>;
  #waiting: Waiting[] = [];
  /** How many are with the thread now. */
  #taken = 0;
  #bytes = 0;
  #timer: NodeJS.Timeout | null = null;
  #sending: Promise<void> | null = null;
  #isFailing = false;
  #dropped = 0;
  #told = 0;

  constructor(
    file: string,
    ring: KeyRing,
    {
      events,
      damaged,
    }: { readonly events: PayloadEvents; readonly damaged?: ((error: MizanError) => void) | undefined },
  ) {
    this.#ring = ring;
    this.#events = events;
    this.#damaged = damaged;
    this.#thread = new Thread(
      () =>
        new Worker(new URL('./payloads.worker.ts', import.meta.url), {
          name: 'payloads',
          workerData: { file },
          resourceLimits: { maxYoungGenerationSizeMb: 8, maxOldGenerationSizeMb: 128 },
        }),
    );
  }

  /** Payloads that are not kept yet. */
  get pending(): number {
    return this.#waiting.length + this.#taken;
  }

  /** Payloads that were given up since the start. */
  get dropped(): number {
    return this.#dropped;
  }

  keep(payload: Payload): void {
    this.#waiting.push({ payload });
    this.#bytes += payload.size;
    this.#makeRoom();
    this.#later(pace.collectMs);
  }

  open(row: PayloadsTable): Promise<KeptPayload> {
    const context = contextOf(row.tenant, row.request_id);
    const open = async (sealed: Uint8Array, key: PayloadKey): Promise<PayloadDocument> =>
      (await this.#thread.ask({ kind: 'open', sealed, key, context })) as PayloadDocument;
    return openRow(row, this.#ring, { open, damaged: this.#damaged });
  }

  /** Resolves once everything that waits now is kept, or can't be. */
  async settled(): Promise<void> {
    await this.#sending;
    while (this.#waiting.length > 0) {
      await this.#send();
      if (this.#isFailing) return;
    }
  }

  /** @param patienceMs How long the last ones may take. */
  async close(patienceMs: number): Promise<void> {
    const late = new Promise<void>((resolve) => setTimeout(resolve, patienceMs).unref());
    await Promise.race([this.settled(), late]);
    if (this.#timer !== null) clearTimeout(this.#timer);
    if (this.#waiting.length > 0) this.#gaveUp(this.#waiting.length);
    this.#waiting = [];
    this.#tell();
    await this.#thread.close();
  }

  #later(ms: number): void {
    if (this.#timer !== null || this.#sending !== null) return;
    this.#timer = setTimeout(() => {
      this.#timer = null;
      void this.#send();
    }, ms).unref();
  }

  /** One batch; one at a time. Never rejects. */
  #send(): Promise<void> {
    this.#sending ??= this.#sendOne().finally(() => {
      this.#sending = null;
      if (this.#waiting.length > 0) this.#later(this.#isFailing ? pace.retryMs : 0);
    });
    return this.#sending;
  }

  async #sendOne(): Promise<void> {
    const taken = this.#take();
    try {
      const question = this.#pack(taken);
      if (question.payloads.length > 0) await this.#thread.ask(question, [question.bytes.buffer]);
      if (this.#isFailing) this.#events.recovered();
      this.#isFailing = false;
      for (const { payload } of taken) this.#bytes -= payload.size;
    } catch (error) {
      if (!this.#isFailing) this.#events.failed(error);
      this.#isFailing = true;
      this.#waiting.unshift(...taken);
      this.#makeRoom();
    } finally {
      this.#taken = 0;
      this.#tell();
    }
  }

  #take(): Waiting[] {
    let count = 0;
    for (let bytes = 0; count < this.#waiting.length && count < batch.payloads && bytes < batch.bytes; count++) {
      bytes += this.#waiting[count]?.payload.size ?? 0;
    }
    this.#taken = count;
    return this.#waiting.splice(0, count);
  }

  /** All bytes in one piece, which moves to the thread without a copy. */
  #pack(taken: readonly Waiting[]): Extract<PayloadQuestion, { kind: 'keep' }> {
    const keys: PayloadKey[] = [];
    const payloads: PackedPayload[] = [];
    const pieces: Uint8Array[] = [];
    for (const waiting of taken) {
      const { payload } = waiting;
      const key = this.#keyFor(payload.tenant);
      if (key === null) continue;
      const at = keys.findIndex(({ id }) => id === key.id);
      if (at < 0) keys.push(key);
      const { requestId, tenant, request, error } = payload;
      waiting.answer ??= payload.answer();
      const { answer } = waiting;
      pieces.push(request.bytes, ...(answer === null ? [] : [answer.bytes]));
      payloads.push({
        requestId,
        tenant,
        error,
        requestBytes: request.wholeBytes,
        answerBytes: answer?.wholeBytes ?? 0,
        requestLength: request.bytes.length,
        answerLength: answer?.bytes.length ?? null,
        key: at < 0 ? keys.length - 1 : at,
      });
    }
    const bytes = new Uint8Array(pieces.reduce((sum, { length }) => sum + length, 0));
    let end = 0;
    for (const piece of pieces) {
      bytes.set(piece, end);
      end += piece.length;
    }
    return { kind: 'keep', bytes, keys, payloads };
  }

  /** `null` for a tenant whose key can't be unwrapped: that is no reason to keep nothing of the others. */
  #keyFor(tenant: string): PayloadKey | null {
    try {
      const { id, secret } = this.#ring.take(tenant, 'payload');
      return { id, secret };
    } catch (error) {
      if (!(error instanceof MizanError) || error.code !== 'unsealable') throw error;
      this.#damaged?.(error);
      this.#gaveUp(1);
      return null;
    }
  }

  #makeRoom(): void {
    while (this.#bytes > maxWaitingBytes && this.#waiting.length > 1) {
      this.#bytes -= this.#waiting.shift()?.payload.size ?? 0;
      this.#gaveUp(1);
    }
  }

  /** Told of with the next batch, since they may be many. */
  #gaveUp(count: number): void {
    this.#dropped += count;
  }

  #tell(): void {
    if (this.#dropped > this.#told) this.#events.dropped(this.#dropped - this.#told);
    this.#told = this.#dropped;
  }
}
