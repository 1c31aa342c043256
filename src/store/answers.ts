import { setTimeout as pause } from 'node:timers/promises';
import type { Kysely } from 'kysely';
import type { OverviewQuery } from '../core/overview.ts';
import type { RequestPage, RequestQuery } from '../core/request-record.ts';
import { everyTenant, pageOf } from '../core/request-record.ts';
import { KyselyRequestHistory } from './history.ts';
import { overviewJson, readOverview, stepsOf } from './overview.ts';
import { Pace, readingPace } from './pace.ts';
import type { Database } from './schema.ts';

/** How long an overview is given again, in ms: about as long as the newest sums are behind anyway. */
const rememberedMs = 2000;

/** Overviews that are remembered at most, of some 10 to 200 KiB. */
const mostRemembered = 50;

interface Remembered {
  readonly json: string;
  readonly at: number;
}

export interface AnswersOptions {
  /** Lets others have a turn between two steps of one answer. */
  readonly breathe?: () => Promise<void>;
  /** On the monotonic clock, in ms. */
  readonly now?: () => number;
  readonly pace?: Pace;
}

/**
 * What a thread that reads answers over HTTP, at a pace that leaves room for others. It is made into JSON there, and goes to
 * the main thread as a text: copies of objects cost that thread more than reading cost this one, and bytes are memory
 * outside its heap, for which V8 would look through all of the heap again and again.
 */
export class Answers {
  readonly #database: Kysely<Database>;
  readonly #history: KyselyRequestHistory;
  readonly #now: () => number;
  readonly #pace: Pace;
  readonly #remembered = new Map<string, Remembered>();

  constructor(database: Kysely<Database>, options: AnswersOptions = {}) {
    const { breathe, now = () => performance.now() } = options;
    this.#database = database;
    this.#history = new KyselyRequestHistory(database, breathe === undefined ? {} : { breathe });
    this.#now = now;
    this.#pace = options.pace ?? new Pace(readingPace, now, (ms) => pause(ms));
  }

  /** @param tenant `null` for every tenant. */
  page(tenant: string | null, query: RequestQuery): Promise<RequestPage> {
    return this.#pace.during(async () => pageOf(await this.#history.list(tenant ?? everyTenant, query)));
  }

  /**
   * In JSON, as it is shown outside; as it was up to two seconds ago, where the same was asked for then.
   * @param tenant `null` for every tenant.
   */
  overview(tenant: string | null, query: OverviewQuery): Promise<string> {
    const { agent, model, instance } = query;
    const { grain, from, to } = stepsOf(query);
    const key = JSON.stringify([tenant, grain, from, to, agent, model, instance]);
    return this.#pace.during(async () => {
      const known = this.#remembered.get(key);
      if (known !== undefined && this.#now() - known.at < rememberedMs) return known.json;
      const at = this.#now();
      const json = overviewJson(await readOverview(this.#database, tenant, query));
      this.#remember(key, { json, at });
      return json;
    });
  }

  #remember(key: string, made: Remembered): void {
    this.#remembered.delete(key);
    this.#remembered.set(key, made);
    for (const [oldest, { at }] of this.#remembered) {
      if (made.at - at < rememberedMs && this.#remembered.size <= mostRemembered) break;
      this.#remembered.delete(oldest);
    }
  }
}
