import { randomUUID } from 'node:crypto';
import type { Clock } from '../core/clock.ts';
import { MizanError } from '../core/errors.ts';
import type { JobRun, JobStore, NewRun, RunEnd, StoredJob } from '../core/jobs.ts';
import type { Random } from '../core/random.ts';
import { everyTenant } from '../core/request-record.ts';
import { Catalogue } from './catalogue.ts';
import type { Known } from './catalogue.ts';
import type { JobEvents, JobType, WaitingRun } from './contract.ts';
import type { Due } from './due-times.ts';
import { DueTimes } from './due-times.ts';
import { Leases } from './leases.ts';
import { bounded, errorOf, isFinal, wordsOf } from './outcomes.ts';
import { backoffMs, isFarAhead, mostMissed, planOf } from './policy.ts';
import { newRunId } from './run-id.ts';
import type { Outcome } from './running.ts';
import { Running } from './running.ts';
import { hasRoomFor, places, Turns } from './turns.ts';

export interface EngineParts {
  readonly store: JobStore;
  readonly types: ReadonlyMap<string, JobType>;
  readonly clock: Clock;
  readonly random: Random;
  readonly events: JobEvents;
  /** How many runs of one job may wait. */
  readonly mostWaiting: number;
}

/** Who may wait however many there are, within `mostWaiting`. */
const anyNumber = 1_000_000_000;

/** How often the end of a run is tried to be noted while the store is away, and for how long; in ms. */
const noting = { everyMs: 1000, forMs: 300_000 };

/** How long runs are made of due times until those that wait, or have lost their holder, have their turn; in ms. */
const makingMs = 500;

/** How often a run is begun again whose runner was gone: it may be the run that ends them. */
const mostTakeOvers = 3;

/** Turns due times into runs, and runs them: what every driver does when its time has come. */
export class Engine {
  readonly catalogue: Catalogue;
  readonly #parts: EngineParts;
  readonly #owner = randomUUID();
  readonly #leases: Leases;
  readonly #turns = new Turns();
  readonly #running = new Map<string, Running>();
  /** When what runs here ends, by the ids of runs. */
  readonly #ending = new Map<string, Promise<void>>();
  /** When runs that were left here to wait may begin. */
  readonly #coming = new DueTimes<Due>(() => true);
  /** When due times were looked for, and among which jobs. */
  #last = { now: Number.POSITIVE_INFINITY, changes: 0 };
  #isStopping = false;
  #isStoreAway = false;
  /** Called when there is room for another run. */
  onFree: () => void = () => undefined;
  /** Told of each run that is left to wait here, whoever is to begin it. */
  onWaiting: (waiting: WaitingRun) => void = () => undefined;

  constructor(parts: EngineParts) {
    this.#parts = parts;
    this.catalogue = new Catalogue(parts.store, parts.events);
    this.#leases = new Leases(parts.clock);
  }

  /** Takes over what was changed elsewhere. */
  refresh(): Promise<boolean> {
    return this.#asking(() => this.catalogue.refresh(this.#parts.clock.monotonic()));
  }

  /** The same, with the runs that are open then, for `sweep`; `undefined` where the store is away. */
  async look(): Promise<readonly JobRun[] | undefined> {
    const { clock } = this.#parts;
    let open: readonly JobRun[] | undefined;
    await this.#asking(async () => void (open = await this.catalogue.look(clock.monotonic(), clock.now())));
    return open;
  }

  /**
   * Makes runs of every due time that has come, once of each job.
   * @param patienceMs Leaves those to others that have come since.
   * @returns Whether there was one.
   */
  async makeDue(patienceMs = 0): Promise<boolean> {
    const { clock } = this.#parts;
    const now = clock.now() - patienceMs;
    const until = clock.monotonic() + makingMs;
    let isAny = false;
    for (const known of this.#dueAt(now)) {
      if (this.#isStopping) break;
      isAny = true;
      if (clock.monotonic() > until || !(await this.#asking(async () => void (await this.makeDueOf(known))))) {
        // Those whose cursor is far ahead are to be found again, too.
        this.#last.now = Number.POSITIVE_INFINITY;
        break;
      }
      // Where there was nothing to be done after all, it isn't looked at again.
      if (known.nextDue !== null && known.nextDue <= now) this.catalogue.passOver(known, now);
    }
    return isAny;
  }

  /** Makes runs of one job's due times, where it is due. @returns Their ids: those that this process made. */
  async makeDueNamed(name: string): Promise<readonly string[]> {
    if (this.#isStopping) return [];
    await this.refresh();
    const known = this.catalogue.get(name);
    const { nextDue, job } = known ?? {};
    if (known === undefined || typeof nextDue !== 'number' || typeof job?.pausedAt === 'number') return [];
    if (nextDue > this.#parts.clock.now()) return [];
    let made: readonly string[] = [];
    await this.#asking(async () => {
      made = await this.makeDueOf(known);
    });
    return made;
  }

  /** How long there is nothing to do, in ms. @param patienceMs How long what is due is left to others. */
  restMs(patienceMs: number): number {
    const { clock } = this.#parts;
    const dues = [this.catalogue.first(), this.#coming.first()].map((due) => due?.nextDue ?? Number.POSITIVE_INFINITY);
    const untilDue = Math.min(...dues) + patienceMs - clock.now();
    return Math.max(0, Math.min(untilDue, this.#leases.nextEnd() - clock.monotonic()));
  }

  /** Whether there is something to sweep since the last look: a run may begin that was left here, or a lease is over. */
  hasComeUp(patienceMs: number): boolean {
    const { clock } = this.#parts;
    const come = [...this.#coming.take(clock.now() - patienceMs)];
    return come.length > 0 || this.#leases.nextEnd() <= clock.monotonic();
  }

  /** What is due, soonest first; what follows is found when it is asked for. */
  *#dueAt(now: number): Iterable<Known> {
    yield* this.#ahead(now);
    for (let known = this.catalogue.first(); known !== undefined; known = this.catalogue.first()) {
      if (known.nextDue === null || known.nextDue > now) return;
      yield known;
    }
  }

  /** Those whose cursor is from a clock that was wrong: there can be some where the clock went back, or jobs are new. */
  #ahead(now: number): Known[] {
    const { changes } = this.catalogue;
    if (now >= this.#last.now && changes === this.#last.changes) {
      this.#last.now = now;
      return [];
    }
    this.#last = { now, changes };
    return [...this.catalogue.all()].filter(({ job }) => job.pausedAt === null && isFarAhead(job, now));
  }

  /**
   * Makes runs of a job's due times.
   * @returns The ids of those that wait to begin.
   * @throws whatever the store throws; then it is to be done again.
   */
  async makeDueOf(known: Known): Promise<readonly string[]> {
    const { store, clock, events } = this.#parts;
    const { job } = known;
    const plan = planOf(job, known.timetable, clock.now());
    const ids: string[] = [];
    for (const { time, isMissed } of plan.due) {
      const run = this.#newRun(job, time, isMissed);
      const made = await store.create(run);
      if (made === 'skipped') events.skipped(job, time);
      if (made !== 'created') continue;
      ids.push(run.id);
      if (run.availableAt > clock.now()) this.#leave({ run: run.id, token: 0, at: run.availableAt });
    }
    if (plan.letGo > 0) events.missed(job, plan.letGo);
    if (plan.cursor === null) return ids;
    await store.advance(job.name, plan.cursor, plan.isBack);
    this.catalogue.advanced(known, plan.cursor);
    return ids;
  }

  /**
   * Begins what may begin, and takes over what nobody carries on.
   * @param isCarried Whether a run that waits was given to somebody else, who brings it to a process.
   * @param seen The runs that are open, where that was looked at just now.
   */
  async sweep(isCarried: (run: JobRun) => boolean = () => false, seen?: readonly JobRun[]): Promise<void> {
    if (this.#isStopping) return;
    await this.#asking(async () => {
      const { store, clock, events } = this.#parts;
      const open = seen ?? (await store.open(clock.now()));
      const running = open.filter(({ status }) => status === 'running');
      const others = running.filter(({ id }) => !this.#running.has(id));
      const ended = this.#leases.ended(others);
      const busy = new Set(running.map(({ job }) => job));
      const waiting = open.filter(({ status }) => status === 'waiting');
      for (const run of [...ended, ...this.#turns.order(waiting)]) {
        if (this.#isStopping) return;
        // What has lost its holder has waited long enough, however much goes on here.
        if (run.status === 'running' ? this.#running.size >= 2 * places.all : !this.#hasRoom(run)) continue;
        const isExclusive = this.catalogue.get(run.job)?.job.overlap !== 'allow';
        if (run.status === 'waiting' && isExclusive && busy.has(run.job)) continue;
        if (!this.#isForUs(run) || (run.status === 'waiting' && isCarried(run))) continue;
        const claimed = await store.claim(run, this.#owner, clock.now());
        if (claimed === null) continue;
        busy.add(run.job);
        if (run.status === 'running') events.takenOver(claimed);
        else this.#turns.began(claimed);
        this.#begin(claimed, false);
      }
    });
  }

  /** Begins those of these runs that wait, and waits for the end of their tries. What has no room stays where it is. */
  async take(ids: readonly string[]): Promise<void> {
    const { store, clock } = this.#parts;
    await this.#asking(async () => {
      for (const id of ids) {
        if (this.#isStopping) return;
        const run = await store.run(everyTenant, id);
        if (run?.status !== 'waiting' || run.availableAt > clock.now() || !this.#isForUs(run)) continue;
        if (!this.#hasRoom(run)) continue;
        const claimed = await store.claim(run, this.#owner, clock.now());
        if (claimed === null) continue;
        this.#turns.began(claimed);
        this.#begin(claimed, true);
      }
    });
    await Promise.all(ids.flatMap((id) => this.#ending.get(id) ?? []));
  }

  /** Begins this run where it may begin, and waits for the end of the try. @returns Whether it is over. */
  async runOnly(id: string): Promise<boolean> {
    const { store, clock } = this.#parts;
    const run = await store.run(everyTenant, id);
    if (run === undefined || run.endedAt !== null) return true;
    if (run.status !== 'waiting' || run.availableAt > clock.now()) return false;
    const claimed = await store.claim(run, this.#owner, clock.now());
    if (claimed !== null) await this.#carryOut(claimed, false);
    return false;
  }

  /** Whether the store could not be used the last time it was asked. */
  get isStoreAway(): boolean {
    return this.#isStoreAway;
  }

  /** Resolves when nothing goes on here any more. */
  async settled(): Promise<void> {
    while (this.#ending.size > 0) await Promise.all(this.#ending.values());
  }

  /** @param graceMs How long runs may take to finish; those that don't are handed over. */
  async stop(graceMs: number): Promise<void> {
    this.#isStopping = true;
    const abort = (each: Running): void => each.abort('stopping');
    [...this.#running.values()].filter((each) => each.isGoneOnWith).forEach(abort);
    const late = setTimeout(() => this.#running.forEach(abort), graceMs);
    await this.settled();
    clearTimeout(late);
  }

  #newRun(job: StoredJob, due: number, isMissed: boolean): NewRun {
    const { clock, random } = this.#parts;
    const isWaitingForAll = isMissed && job.catchUp === 'all';
    const { mostWaiting } = this.#parts;
    const mayWait = isWaitingForAll ? anyNumber : { skip: 0, queue: 1, allow: anyNumber }[job.overlap];
    return {
      id: newRunId(clock.now()),
      job: job.name,
      tenant: job.tenant,
      due,
      cause: isMissed ? 'catch-up' : 'schedule',
      startedBy: isMissed ? 'catch-up' : 'schedule',
      availableAt: due + Math.floor(random() * job.jitterMs),
      isExclusive: job.overlap !== 'allow',
      mayWait,
      mostWaiting: isWaitingForAll ? Math.max(mostWaiting, mostMissed) : mostWaiting,
    };
  }

  #hasRoom(run: JobRun): boolean {
    const running = Array.from(this.#running.values(), (each) => each.run);
    return hasRoomFor(run, running);
  }

  /** A run whose job is gone is anybody's, to end it. */
  #isForUs(run: JobRun): boolean {
    const known = this.catalogue.get(run.job);
    return known === undefined || this.#parts.types.has(known.job.type);
  }

  #leave(waiting: WaitingRun): void {
    this.#coming.add({ nextDue: waiting.at }, anyNumber);
    this.onWaiting(waiting);
  }

  #begin(run: JobRun, isBrought: boolean): void {
    const end = this.#carryOut(run, isBrought).finally(() => {
      this.#ending.delete(run.id);
      this.onFree();
    });
    this.#ending.set(run.id, end);
  }

  async #carryOut(run: JobRun, isBrought: boolean): Promise<void> {
    const { store, clock, types, events } = this.#parts;
    const job = this.catalogue.get(run.job)?.job;
    const type = job === undefined ? undefined : types.get(job.type);
    const running = new Running(run, { store, clock, type });
    this.#running.set(run.id, running);
    const startedAt = clock.monotonic();
    const latenessMs = Math.max(0, (run.startedAt ?? run.availableAt) - run.availableAt);
    if (run.attempts === 1) events.started(run, latenessMs, isBrought);
    let outcome: Outcome;
    if (job === undefined || type === undefined) {
      outcome = { kind: 'failed', error: new MizanError('not_found', `There is no job "${run.job}" any more.`) };
    } else if (run.attempts > job.retries + 1 + mostTakeOvers) {
      const error = new MizanError('internal', `Whoever ran it was gone before its end, ${run.attempts - 1} times.`);
      outcome = { kind: 'failed', error };
    } else outcome = await running.go(job, async (context) => type.run({ ...context, job: await this.#opened(job) }));
    await this.#note(run, job, { outcome, kept: running.kept, durationMs: clock.monotonic() - startedAt });
    this.#running.delete(run.id);
  }

  /** With what it is given, which is sealed while nobody needs it. */
  async #opened(job: StoredJob): Promise<StoredJob> {
    if (!job.isSealed) return job;
    const settings = (await this.#parts.store.settings([job.name])).get(job.name) ?? null;
    if (settings !== null) return { ...job, settings };
    const why = 'its key was destroyed, or has not come from where it was made yet';
    throw new MizanError('unsealable', `What the job "${job.name}" is given can't be opened: ${why}.`);
  }

  async #note(
    run: JobRun,
    job: StoredJob | undefined,
    { outcome, kept, durationMs }: { readonly outcome: Outcome; readonly kept: unknown; readonly durationMs: number },
  ): Promise<void> {
    const { store, clock, events } = this.#parts;
    const { token } = run.lease;
    if (outcome.kind === 'aborted' && outcome.why === 'lost') {
      events.lost(run);
      return;
    }
    const now = clock.now();
    if (outcome.kind === 'aborted' && outcome.why === 'stopping') {
      const isGiven = await this.#surely(() => store.handOver(run.id, token, now));
      if (isGiven === true) this.#leave({ run: run.id, token, at: now });
      return;
    }
    const error = errorOf(outcome, job);
    const isAgain = error !== null && !isFinal(error) && job !== undefined && run.attempts <= job.retries;
    const end: RunEnd = {
      status: error === null ? 'succeeded' : isAgain ? 'waiting' : 'failed',
      at: now,
      output: bounded(outcome.kind === 'done' ? outcome.output : kept),
      error: error === null ? null : wordsOf(error),
      availableAt: isAgain ? now + backoffMs(job, run.attempts, this.#parts.random) : run.availableAt,
    };
    const isMine = await this.#surely(() => store.end(run, end));
    if (isMine === false) {
      events.lost(run);
      return;
    }
    if (isAgain) this.#leave({ run: run.id, token, at: end.availableAt });
    const status = end.status === 'waiting' ? 'retrying' : end.status;
    events.ended(run, { status, durationMs, error, output: end.output });
  }

  /** Does it again while the store is away. @returns `null` where that took too long. */
  async #surely(note: () => Promise<boolean>): Promise<boolean | null> {
    const { clock, events } = this.#parts;
    const deadline = clock.monotonic() + noting.forMs;
    for (;;) {
      try {
        return await note();
      } catch (error) {
        if (clock.monotonic() > deadline || this.#isStopping) {
          events.storeFailed(error);
          return null;
        }
        await new Promise((resolve) => setTimeout(resolve, noting.everyMs));
      }
    }
  }

  async #asking(ask: () => Promise<void>): Promise<boolean> {
    const { events } = this.#parts;
    try {
      await ask();
      if (this.#isStoreAway) events.storeRecovered();
      this.#isStoreAway = false;
      return true;
    } catch (error) {
      if (!this.#isStoreAway) events.storeFailed(error);
      this.#isStoreAway = true;
      return false;
    }
  }
}
