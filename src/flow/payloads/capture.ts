import type { ChatAnswer, ChatEvents } from '../../core/chat.ts';
import type { MizanError } from '../../core/errors.ts';
import type { PayloadLog, PayloadPolicy, Said } from '../../core/payload.ts';
import type { Random } from '../../core/random.ts';
import type { Call } from '../call.ts';
import { Assembly } from './assembly.ts';

/** What is kept of calls by agent, and of those to none of these. */
export interface PayloadPolicies {
  readonly byAgent: ReadonlyMap<string, PayloadPolicy>;
  readonly byDefault: PayloadPolicy;
}

/** Bytes of memory that what is kept of a call takes besides its texts, about. */
const overheadBytes = 1024;

/** Decides of which calls is kept what was said, and follows those. */
export class Payloads {
  readonly #policies: PayloadPolicies;
  readonly #log: PayloadLog;
  readonly #random: Random;

  /** `null` where the policies say that nothing is ever kept: then calls have nothing to do with it. */
  static of(policies: PayloadPolicies, log: PayloadLog, random: Random): Payloads | null {
    const all = [policies.byDefault, ...policies.byAgent.values()];
    return all.every(({ mode }) => mode === 'off') ? null : new Payloads(policies, log, random);
  }

  private constructor(policies: PayloadPolicies, log: PayloadLog, random: Random) {
    this.#policies = policies;
    this.#log = log;
    this.#random = random;
  }

  /** @returns `null` where nothing of the call is kept. */
  capture(agent: string | null): Capture | null {
    const own = agent === null ? undefined : this.#policies.byAgent.get(agent);
    const policy = own ?? this.#policies.byDefault;
    if (policy.mode === 'off' || (policy.mode === 'sampled' && this.#random() >= policy.rate)) return null;
    return new Capture(policy, this.#log);
  }
}

/** What is said in one call. */
export class Capture {
  readonly #policy: PayloadPolicy;
  readonly #log: PayloadLog;
  #assembly: Assembly | null = null;

  constructor(policy: PayloadPolicy, log: PayloadLog) {
    this.#policy = policy;
    this.#log = log;
  }

  readonly tap = (events: ChatEvents): void => {
    this.#assembly ??= new Assembly(this.#policy.maxBytes);
    this.#assembly.add(events);
  };

  /** The call is over: leaves what is to be kept. The work is done later, when nobody waits for it. */
  ended(call: Call, ended: { readonly answer: ChatAnswer | null; readonly error: MizanError | null }): void {
    const { mode, maxBytes } = this.#policy;
    if (mode === 'errors' && ended.error === null) return;
    const body = call.body ?? Buffer.alloc(0);
    const request = beginningOf(body, maxBytes);
    const whole = ended.answer === null ? null : beginningOf(ended.answer.bytes, maxBytes);
    const assembly = this.#assembly;
    this.#log.keep({
      requestId: call.id,
      tenant: call.principal.tenant,
      request,
      answer: () => whole ?? saidBy(assembly, maxBytes),
      error: ended.error?.toPublic(call.id) ?? null,
      size: overheadBytes + request.bytes.length + (whole?.bytes.length ?? (assembly === null ? 0 : 2 * maxBytes)),
    });
  }
}

/** A copy where it is cut, so that the rest of it can go. */
function beginningOf(bytes: Buffer, maxBytes: number): Said {
  const kept = bytes.length <= maxBytes ? bytes : Buffer.from(bytes.subarray(0, maxBytes));
  return { bytes: kept, wholeBytes: bytes.length };
}

function saidBy(assembly: Assembly | null, maxBytes: number): Said | null {
  const completion = assembly?.completion() ?? null;
  if (assembly === null || completion === null) return null;
  const said = beginningOf(Buffer.from(jsonOf(completion)), maxBytes);
  return { ...said, wholeBytes: said.wholeBytes + assembly.leftOutBytes };
}

/** An upstream may nest deeper than can be written. */
function jsonOf(completion: object): string {
  try {
    return JSON.stringify(completion);
  } catch {
    return '';
  }
}
