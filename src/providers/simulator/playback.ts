import type { Clock } from '../../core/clock.ts';
import type { Death, Script, ScriptHeaders } from './script.ts';

/** Waiting as a parameter. Calls `then` after `ms` and never at once; the result calls it off. */
export type Wait = (ms: number, then: () => void) => () => void;

export const systemWait: Wait = (ms, then) => {
  if (ms <= 0) {
    const immediate = setImmediate(then);
    return () => clearImmediate(immediate);
  }
  const timer = setTimeout(then, ms);
  return () => clearTimeout(timer);
};

/** Where a script is played: exactly one of `end` and `die` is the last call, unless it stalls or is stopped. */
export interface Stage {
  head(status: number, headers: ScriptHeaders): void;
  data(bytes: Buffer): void;
  end(): void;
  die(death: Death): void;
}

export interface PlaybackContext {
  readonly clock: Clock;
  readonly wait: Wait;
  /** Called once, with whether the script was played to its end. */
  readonly onOver: (how: 'finished' | 'aborted') => void;
}

/** A step is due when less than this is missing, in ms: timers wake up a little early. */
const tolerance = 0.5;

/**
 * Plays one script on one stage, beginning after the current turn of the event loop. Steps have absolute due times,
 * so that a late timer or a pause delays none of those after it.
 */
export class Playback {
  readonly #script: Script;
  readonly #stage: Stage;
  readonly #context: PlaybackContext;
  #next = -1;
  #dueAt: number;
  #isPaused = false;
  #isOver = false;
  #callOff: (() => void) | null = null;

  constructor(script: Script, stage: Stage, context: PlaybackContext) {
    this.#script = script;
    this.#stage = stage;
    this.#context = context;
    this.#dueAt = context.clock.monotonic() + script.delayMs;
    this.#schedule(script.delayMs);
  }

  /** Ends it at once: the stage is not called again. Harmless when it is over already. */
  stop(): void {
    this.#finish('aborted');
  }

  /** Holds everything back, the end included, until `resume()`. */
  pause(): void {
    this.#isPaused = true;
    this.#callOff?.();
    this.#callOff = null;
  }

  resume(): void {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    if (!this.#isOver) this.#schedule(this.#dueAt - this.#context.clock.monotonic());
  }

  #schedule(delayMs: number): void {
    this.#callOff?.();
    this.#callOff = this.#context.wait(Math.max(0, Math.ceil(delayMs - tolerance)), () => this.#play());
  }

  #play(): void {
    this.#callOff = null;
    while (!this.#isOver && !this.#isPaused) {
      const missing = this.#dueAt - this.#context.clock.monotonic();
      if (missing > tolerance) {
        this.#schedule(missing);
        return;
      }
      if (!this.#perform()) return;
    }
  }

  /** Does what is due; `false` when nothing is left to do. */
  #perform(): boolean {
    const script = this.#script;
    if (script.kind === 'dead') {
      this.#finish('finished');
      this.#stage.die(script.death);
      return false;
    }
    const index = this.#next++;
    const step = script.steps[index];
    if (step !== undefined) {
      this.#dueAt += script.steps[index + 1]?.delayMs ?? 0;
      this.#stage.data(step.bytes);
      return true;
    }
    if (index < 0) {
      this.#dueAt += script.steps[0]?.delayMs ?? 0;
      this.#stage.head(script.status, script.headers);
      return true;
    }
    if (script.ending === 'stall') return false;
    this.#finish('finished');
    if (script.ending === 'cut') this.#stage.die('cut');
    else this.#stage.end();
    return false;
  }

  #finish(how: 'finished' | 'aborted'): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#callOff?.();
    this.#callOff = null;
    this.#context.onOver(how);
  }
}
