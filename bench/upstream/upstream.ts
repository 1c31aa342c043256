import { Child, hasMember } from '../system/child.ts';

/** What the mock upstream has seen since it started. */
export interface UpstreamCounters {
  readonly requests: number;
  readonly streams: number;
  /** Paced streams under way. */
  readonly streamsOpen: number;
  /** Paced streams whose connection was closed before their last chunk. */
  readonly streamsAborted: number;
  /** The most chunks that had been sent when such a stream's end was noticed. */
  readonly latestAbort: number;
  readonly openConnections: number;
}

const saysPort = (message: unknown): message is { port: number } => hasMember(message, 'port');
const isCounters = (message: unknown): message is UpstreamCounters => hasMember(message, 'streamsAborted');

/** The mock upstream, running in a process of its own. */
export class Upstream {
  readonly port: number;
  readonly #child: Child;

  private constructor(child: Child, port: number) {
    this.#child = child;
    this.port = port;
  }

  static async start(): Promise<Upstream> {
    const child = new Child(new URL('mock.ts', import.meta.url));
    const { port } = await child.receive(saysPort, 10_000);
    return new Upstream(child, port);
  }

  counters(): Promise<UpstreamCounters> {
    return this.#child.ask('counters', isCounters, 10_000);
  }

  stop(): void {
    this.#child.stop();
  }
}
