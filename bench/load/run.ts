import { numberText } from '../ticket.ts';
import { Connection } from './connection.ts';
import type { Exchange } from './connection.ts';
import type { Outcome, Plan } from './plan.ts';
import { faultOf, RequestBytes } from './request.ts';

/** Numbers are never used twice in one process, so that no cache can answer but where a door wants that. */
let numbers = 0;

/**
 * Which of a few requests is sent. Streams have their own: what a cache was given whole comes in one piece from there,
 * and here streams are compared.
 */
function repeated(count: number, repeats: number, stream: boolean): number {
  return (count % repeats) + (stream ? repeats : 0);
}

/** Everything that is noted while a plan is carried out. */
class Tally {
  right = 0;
  wrong = 0;
  firstWrong: string | null = null;
  aborted = 0;
  issued = 0;
  readonly latencies: Float64Array;
  readonly firstBytes: Float64Array;

  constructor(requests: number) {
    this.latencies = new Float64Array(requests);
    this.firstBytes = new Float64Array(requests);
  }

  note(fault: string | null, latencyMs: number, firstByteMs: number): void {
    if (fault !== null) {
      this.wrong++;
      this.firstWrong ??= fault;
      return;
    }
    this.latencies[this.right] = latencyMs;
    this.firstBytes[this.right] = firstByteMs;
    this.right++;
  }
}

/** One connection's share of a plan: sends, waits, checks, again. */
class Lane {
  readonly #plan: Plan;
  readonly #tally: Tally;
  readonly #until: number;
  readonly #connection: Connection;
  readonly #request: RequestBytes;
  readonly #finished: () => void;
  #due: number;

  constructor(plan: Plan, tally: Tally, until: number, finished: () => void) {
    this.#plan = plan;
    this.#tally = tally;
    this.#until = until;
    this.#connection = new Connection(plan.door.port);
    this.#request = new RequestBytes(plan.door, plan.stream);
    this.#finished = finished;
    this.#due = 0;
  }

  start(delayMs: number): void {
    this.#due = performance.now() + delayMs;
    if (delayMs === 0) this.#send(this.#due);
    else setTimeout(() => this.#send(performance.now()), delayMs);
  }

  #next(): void {
    const rate = this.#plan.ratePerSecond;
    const now = performance.now();
    if (rate === undefined) {
      this.#send(now);
      return;
    }
    this.#due += (this.#plan.connections * 1000) / rate;
    if (this.#due <= now) this.#send(this.#due);
    else setTimeout(() => this.#send(performance.now()), this.#due - now);
  }

  /** @param due when the request should have gone out: now, or earlier if the last answer was late. */
  #send(due: number): void {
    const { abort, paceMs = 0, stream, door, requests } = this.#plan;
    const tally = this.#tally;
    if (tally.issued >= requests || performance.now() >= this.#until) {
      this.#connection.abort();
      this.#finished();
      return;
    }
    tally.issued++;
    const count = ++numbers;
    const number = numberText(door.repeats === undefined ? count : repeated(count, door.repeats, stream));
    const leaves = abort !== undefined && Math.floor(count * abort.share) > Math.floor((count - 1) * abort.share);
    const leavesAfter = leaves ? 2 + (count % 7) : 0;
    let firstByte = 0;
    const exchange: Exchange = {
      firstByte: () => (firstByte = performance.now()),
      progress: (pieces) => {
        if (pieces !== leavesAfter) return;
        this.#connection.abort();
        tally.aborted++;
        this.#next();
      },
      done: (reply) => {
        const fault = leaves ? 'a stream that should have lasted was over' : null;
        tally.note(
          fault ?? faultOf(reply, number, stream ? door.streamEnd : null),
          performance.now() - due,
          firstByte - due,
        );
        this.#next();
      },
      failed: (why) => {
        tally.note(why, 0, 0);
        setImmediate(() => this.#next());
      },
    };
    this.#connection.send(this.#request.with(number, leaves ? abort.paceMs : paceMs), exchange);
  }

  /** The plan's time is over. */
  stop(): void {
    this.#connection.abort();
  }
}

/** Carries out one plan. It ends soon after its deadline, whatever the other side does. */
export function run(plan: Plan): Promise<Outcome> {
  const tally = new Tally(plan.requests);
  const start = performance.now();
  return new Promise((resolve) => {
    let open = Math.min(plan.connections, plan.requests);
    const settle = (): void => {
      clearTimeout(timer);
      for (const lane of lanes) lane.stop();
      resolve({
        right: tally.right,
        wrong: tally.wrong,
        firstWrong: tally.firstWrong,
        aborted: tally.aborted,
        elapsedMs: performance.now() - start,
        latencies: tally.latencies.subarray(0, tally.right),
        firstBytes: tally.firstBytes.subarray(0, tally.right),
      });
    };
    const finished = (): void => {
      if (--open === 0) settle();
    };
    const timer = setTimeout(settle, plan.deadlineMs + 2000);
    const lanes = Array.from({ length: open }, () => new Lane(plan, tally, start + plan.deadlineMs, finished));
    const stepMs = plan.ratePerSecond === undefined ? (plan.rampMs ?? 0) / open : 1000 / plan.ratePerSecond;
    for (const [i, lane] of lanes.entries()) lane.start(i * stepMs);
  });
}
