import { systemClock, type Clock } from '../../core/clock.ts';
import { seededRandom, type Random } from '../../core/random.ts';
import { answerTo } from './answer.ts';
import { strike, type Fault } from './faults.ts';
import { Refusal } from './openai-error.ts';
import { simulatorOptionsSchema, type SimulatorOptions, type SimulatorOptionsInput } from './options.ts';
import { Playback, systemWait, type Stage, type Wait } from './playback.ts';
import { readRequest } from './request.ts';
import { answerScript, earlyScript, errorScript, listScript, slowness, type Script } from './script.ts';

/** What became of the requests so far. `finished` were played to their end, be it a fault; `aborted` were left. */
export interface SimulatorStats {
  readonly started: number;
  readonly finished: number;
  readonly aborted: number;
  readonly inFlight: number;
}

/** Time, for tests. */
export interface SimulatorTime {
  readonly clock?: Clock;
  readonly wait?: Wait;
}

/**
 * The model service itself: decides what happens to a request, and plays it on whatever stage it came from.
 * The same requests in the same order meet the same faults.
 */
export class Simulator {
  readonly #options: SimulatorOptions;
  readonly #clock: Clock;
  readonly #wait: Wait;
  readonly #random: Random;
  readonly #listRandom: Random;
  #ordinal = 0;
  #finished = 0;
  #aborted = 0;

  constructor(options: SimulatorOptionsInput, time: SimulatorTime = {}) {
    this.#options = simulatorOptionsSchema.parse(options);
    this.#clock = time.clock ?? systemClock;
    this.#wait = time.wait ?? systemWait;
    this.#random = seededRandom(this.#options.seed);
    this.#listRandom = seededRandom(this.#options.seed);
  }

  /** @param faults Those of this request alone, instead of the configured ones. */
  chat(body: Buffer, stage: Stage, faults: readonly Fault[] = this.#options.faults): Playback {
    this.#ordinal++;
    return new Playback(this.#write(body, faults), stage, {
      clock: this.#clock,
      wait: this.#wait,
      onOver: (how) => {
        if (how === 'finished') this.#finished++;
        else this.#aborted++;
      },
    });
  }

  /** The list of models. It meets the configured faults by dice of its own, and is not counted as a request. */
  models(stage: Stage): Playback {
    const { faults, latencyMs } = this.#options;
    const struck = strike(faults, this.#listRandom);
    const script = listScript(struck, latencyMs + slowness(struck));
    return new Playback(script, stage, { clock: this.#clock, wait: this.#wait, onOver: () => {} });
  }

  stats(): SimulatorStats {
    const started = this.#ordinal;
    const [finished, aborted] = [this.#finished, this.#aborted];
    return { started, finished, aborted, inFlight: started - finished - aborted };
  }

  /** When the request arrived, in seconds since the Unix epoch. */
  now(): number {
    return Math.floor(this.#clock.now() / 1000);
  }

  #write(body: Buffer, configured: readonly Fault[]): Script {
    const faults = strike(configured, this.#random);
    const delayMs = this.#options.latencyMs + slowness(faults);
    const early = earlyScript(faults, delayMs);
    if (early !== null) return early;
    try {
      const request = readRequest(body);
      const { model, stream, stream_options: streamOptions } = request.body;
      const id = `chatcmpl-sim${this.#ordinal.toString(36).padStart(8, '0')}`;
      return answerScript({
        answer: answerTo(request.body),
        envelope: { id, created: this.now(), model, promptTokens: request.promptTokens },
        stream: stream === true,
        includeUsage: streamOptions?.include_usage === true,
        faults,
        delayMs,
        tokensPerSecond: this.#options.tokensPerSecond,
      });
    } catch (error) {
      const refusal = error instanceof Refusal ? error : new Refusal(500, `The simulator failed: ${String(error)}.`);
      return errorScript(refusal.status, refusal.body());
    }
  }
}
