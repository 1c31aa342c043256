import { randomBytes } from 'node:crypto';
import type { Redis } from 'ioredis';
import type { Report, SharedChange, SharedClaim, SharedCounters } from '../core/limit.ts';
import { undone } from '../core/limit.ts';
import { changeScript, reportScript, takeScript } from './limit-scripts.ts';
import type { RedisConnection } from './connection.ts';
import { away } from './connection.ts';

/** A run that has not reported for this long holds nothing any more, in ms. */
const aliveMs = 15_000;

/** Changes that are kept while Redis is away; after a minute none of them matters. */
const maxUnsaid = 10_000;

const prefix = 'mizan:{limits}';
const machinesKey = `${prefix}:machines`;

/** How the scripts call the kinds: what is counted by the minute is one to them. */
const kinds = { requests: 'window', tokens: 'window', inFlight: 'flight', money: 'money' } as const;

type Command = (keys: number, ...parts: (string | number)[]) => Promise<unknown>;

interface Scripts {
  readonly mizanLimitsTake: Command;
  readonly mizanLimitsChange: Command;
  readonly mizanLimitsReport: Command;
}

/** Limits and budgets that several machines share by way of Redis. */
export class RedisLimits implements SharedCounters {
  readonly #redis: RedisConnection;
  /** Of this process: what it holds ends with it. */
  readonly #run = randomBytes(8).toString('hex');
  /** Of its data folder: what was paid stays. */
  readonly #node: string;
  /** What is to be taken back of requests and tokens once Redis is there again. */
  #unsaid: SharedChange[] = [];

  /** @param node Names the data folder, over restarts. */
  constructor(redis: RedisConnection, node: string) {
    this.#redis = redis;
    this.#node = node;
  }

  get isThere(): boolean {
    return this.#redis.trouble === null;
  }

  get losses(): number {
    return this.#redis.losses;
  }

  async take(
    claims: readonly SharedClaim[],
    over: () => void,
    patienceMs?: number,
  ): ReturnType<SharedCounters['take']> {
    const keys = [machinesKey, ...claims.map(keyOf)];
    const parts = claims.flatMap(({ kind, limit, amount, paid }) => [kinds[kind], limit, amount, paid]);
    let isLate = false;
    let isAsked = false;
    const answer = await this.#redis.ask((client) => {
      isAsked = true;
      const asked = scriptsOf(client).mizanLimitsTake(keys.length, ...keys, this.#run, aliveMs, this.#node, ...parts);
      asked
        .then(
          (late) => isLate && this.#undo(claims, late),
          () => {},
        )
        .finally(over);
      return asked;
    }, patienceMs);
    if (!isAsked) over();
    if (answer === away) {
      isLate = true;
      return null;
    }
    if ((answer as [number])[0] === -1) return 'unknown';
    const [second, machines, used, refused] = answer as [number, number, string[], number[]];
    return {
      second,
      machines,
      used: used.map(Number),
      refused: Array.from({ length: refused.length / 2 }, (_, i) => {
        const waitMs = refused[i * 2 + 1] ?? -1;
        return { index: (refused[i * 2] ?? 1) - 1, waitMs: waitMs < 0 ? null : waitMs };
      }),
    };
  }

  /** What was counted too late for whoever asked is taken back. */
  #undo(claims: readonly SharedClaim[], late: unknown): void {
    const [second, , , refused] = late as [number, number, string[], number[]];
    if (second === -1 || refused.length > 0) return;
    this.change(undone(claims, second));
  }

  change(changes: readonly SharedChange[]): void {
    if (changes.length === 0) return;
    const keys = changes.map(keyOf);
    const parts = changes.flatMap(({ kind, second, back, paid }) => [kinds[kind], second, back, paid, this.#node]);
    let isAsked = false;
    void this.#redis.ask((client) => {
      isAsked = true;
      return scriptsOf(client).mizanLimitsChange(keys.length, ...keys, this.#run, ...parts);
    });
    if (isAsked) return;
    // The rest is put right by the next report.
    const windows = changes.filter(({ kind }) => kinds[kind] === 'window');
    this.#unsaid = [...this.#unsaid, ...windows].slice(-maxUnsaid);
  }

  async report({ counts, missed }: Report, isNew: () => void): ReturnType<SharedCounters['report']> {
    const all = [
      ...counts.map((count) => ({ ...count, first: count.now ?? -1, other: count.paid })),
      ...missed.map((each) => ({ ...each, start: 0, first: each.age, other: each.amount })),
    ];
    const keys = [machinesKey, ...all.map(keyOf)];
    const parts = all.flatMap(({ kind, first, other }) => [kinds[kind], first, other]);
    let asked: Promise<unknown> | null = null;
    const inTime = await this.#redis.ask((client) => {
      asked = scriptsOf(client).mizanLimitsReport(keys.length, ...keys, this.#run, aliveMs, this.#node, ...parts);
      asked.then(
        (told) => (told as [number])[0] === 1 && isNew(),
        () => {},
      );
      return asked;
    });
    // Whether it was heard has to be known: to tell of the same requests twice would count them twice.
    const answer = inTime === away ? await outcomeOf(asked) : inTime;
    if (answer === null) return null;
    const unsaid = this.#unsaid;
    this.#unsaid = [];
    this.change(unsaid);
    const [first, machines, used] = answer as [number, number, string[]];
    return { isNew: first === 1, machines, used: used.slice(0, counts.length).map(Number) };
  }
}

/** Late or never: a connection that says nothing is given up by its own clock. */
async function outcomeOf(asked: Promise<unknown> | null): Promise<unknown> {
  try {
    return await asked;
  } catch {
    return null;
  }
}

function keyOf({ kind, id, start }: { kind: SharedClaim['kind']; id: string; start?: number }): string {
  return kind === 'money' ? `${prefix}:money:${start ?? 0}:${id}` : `${prefix}:${kind}:${id}`;
}

/** Sent by their hash; the text follows where Redis doesn't know it. */
function scriptsOf(client: Redis): Scripts {
  const known = client as unknown as Partial<Scripts>;
  if (known.mizanLimitsTake === undefined) {
    client.defineCommand('mizanLimitsTake', { lua: takeScript });
    client.defineCommand('mizanLimitsChange', { lua: changeScript });
    client.defineCommand('mizanLimitsReport', { lua: reportScript });
  }
  return client as unknown as Scripts;
}
