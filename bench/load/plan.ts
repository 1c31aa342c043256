/** What a contestant is asked, and how its answers are told right. */
export interface Door {
  readonly port: number;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  /** JSON, with a blank ticket somewhere in its text and the member `"stream":false`. */
  readonly body: string;
  /** What a complete stream has at its end. */
  readonly streamEnd: string;
  /** How many different requests are sent, again and again; all are different where it is absent. */
  readonly repeats?: number;
}

/** One bounded stretch of load. */
export interface Plan {
  readonly door: Door;
  readonly stream: boolean;
  readonly connections: number;
  readonly requests: number;
  /** It ends by then, finished or not. */
  readonly deadlineMs: number;
  /** Closed loop (each connection sends as soon as it has its answer) if absent; else this many a second in all. */
  readonly ratePerSecond?: number;
  /** Connections begin one after another over this time, so that paced streams don't march in step. */
  readonly rampMs?: number;
  /** Milliseconds between the chunks of a stream; 0: all at once. */
  readonly paceMs?: number;
  /** Some streams are left in the middle: how large a share of them, and how those are paced. */
  readonly abort?: { readonly share: number; readonly paceMs: number };
}

/** What came of it. Times are in ms, one per right answer, unsorted. */
export interface Outcome {
  readonly right: number;
  readonly wrong: number;
  /** What was wrong with the first that was. */
  readonly firstWrong: string | null;
  readonly aborted: number;
  readonly elapsedMs: number;
  /** To the answer's last byte, from when the request was due. */
  readonly latencies: Float64Array;
  /** To the first byte of the body, likewise. */
  readonly firstBytes: Float64Array;
}
