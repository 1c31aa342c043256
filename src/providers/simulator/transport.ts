import type { Clock } from '../../core/clock.ts';
import type { Exchange, Transport, TransportError, TransportHandler, TransportRequest } from '../transport.ts';
import { Refusal } from './openai-error.ts';
import type { SimulatorOptionsInput } from './options.ts';
import { Playback, systemWait, type Stage, type Wait } from './playback.ts';
import { errorScript, type Death, type Script, type ScriptHeaders } from './script.ts';
import { Simulator, type SimulatorStats } from './simulator.ts';

/** The paths that are answered. */
export const chatPath = '/v1/chat/completions';
export const modelsPath = '/v1/models';

const deaths: Readonly<Record<Death, Omit<TransportError, 'cause' | 'timedOut'>>> = {
  refuse: { phase: 'connect', reason: 'connection refused' },
  reset: { phase: 'head', reason: 'connection reset' },
  cut: { phase: 'body', reason: 'connection closed' },
};

/** The simulator in this process: no socket and no port, but the same answers and faults as over HTTP. */
export class SimulatorTransport implements Transport {
  readonly #simulator: Simulator;
  readonly #clock: Clock;
  readonly #wait: Wait;
  #isClosed = false;
  readonly #ongoing = new Set<SimulatedExchange>();

  constructor(options: SimulatorOptionsInput, clock: Clock, wait: Wait = systemWait) {
    this.#simulator = new Simulator(options, { clock, wait });
    this.#clock = clock;
    this.#wait = wait;
  }

  /** Counts of the requests so far, to see that an abort arrived. */
  stats(): SimulatorStats {
    return this.#simulator.stats();
  }

  send(request: TransportRequest, handler: TransportHandler): Exchange {
    const exchange = new SimulatedExchange(handler, () => this.#ongoing.delete(exchange));
    this.#ongoing.add(exchange);
    exchange.playback = this.#play(request, exchange);
    return exchange;
  }

  #play({ method = 'POST', path, body }: TransportRequest, stage: Stage): Playback {
    if (method === 'POST' && path === chatPath && !this.#isClosed) return this.#simulator.chat(body, stage);
    if (method === 'GET' && path === modelsPath && !this.#isClosed) return this.#simulator.models(stage);
    const unknown = new Refusal(404, `Unknown request URL: ${method} ${path}.`, { code: 'unknown_url' });
    const script: Script = this.#isClosed
      ? { kind: 'dead', delayMs: 0, death: 'refuse' }
      : errorScript(404, unknown.body());
    return new Playback(script, stage, { clock: this.#clock, wait: this.#wait, onOver: () => {} });
  }

  close(): Promise<void> {
    this.#isClosed = true;
    for (const exchange of this.#ongoing) exchange.cut();
    return Promise.resolve();
  }
}

class SimulatedExchange implements Exchange, Stage {
  playback: Playback | null = null;
  readonly #handler: TransportHandler;
  readonly #onOver: () => void;
  #phase: TransportError['phase'] = 'head';
  #isOver = false;

  constructor(handler: TransportHandler, onOver: () => void) {
    this.#handler = handler;
    this.#onOver = onOver;
  }

  abort(): void {
    this.#finish();
    this.playback?.stop();
  }

  pause(): void {
    this.playback?.pause();
  }

  resume(): void {
    this.playback?.resume();
  }

  /** The transport closes under it. */
  cut(): void {
    if (this.#isOver) return;
    this.abort();
    this.#handler.onError({ phase: this.#phase, reason: 'connection closed', timedOut: false, cause: undefined });
  }

  head(status: number, headers: ScriptHeaders): void {
    this.#phase = 'body';
    this.#handler.onHead(status, headers);
  }

  data(bytes: Buffer): void {
    this.#handler.onData(bytes);
  }

  end(): void {
    this.#finish();
    this.#handler.onEnd();
  }

  die(death: Death): void {
    this.#finish();
    this.#handler.onError({ ...deaths[death], timedOut: false, cause: undefined });
  }

  #finish(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#onOver();
  }
}
