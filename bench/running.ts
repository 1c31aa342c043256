import { setTimeout as sleep } from 'node:timers/promises';
import { Unavailable } from './contestants/contestant.ts';
import type { Stand } from './contestants/contestant.ts';
import { Connection } from './load/connection.ts';
import type { Door } from './load/plan.ts';
import { faultOf, RequestBytes } from './load/request.ts';
import { Gateway } from './system/gateway.ts';
import { numberText } from './ticket.ts';

/** A contestant that answers. */
export interface Running {
  /** `null` for `direct`. */
  readonly gateway: Gateway | null;
  readonly door: Door;
  /** From before its process was made until it had given its first right answer. */
  readonly coldStartMs: number;
}

const patienceMs = 30_000;
const retryMs = 2;

/**
 * Starts a contestant and asks until it answers as it should.
 * @throws Unavailable, with the end of its log, if it ends first or takes longer than 30 s.
 */
export async function start({ launch, door }: Stand): Promise<Running> {
  const begun = performance.now();
  const gateway = launch === null ? null : new Gateway(launch);
  const connection = new Connection(door.port);
  const request = new RequestBytes(door, false);
  let fault: string | null = 'it was never asked';
  for (let attempt = 1; fault !== null; attempt++) {
    if (gateway !== null && (gateway.exit !== null || performance.now() - begun > patienceMs)) {
      connection.abort();
      gateway.kill();
      throw new Unavailable(`${gateway.exit ?? `no right answer in ${patienceMs} ms: ${fault}`}\n${gateway.logTail()}`);
    }
    fault = await ask(connection, request, numberText(attempt));
    if (fault !== null) await sleep(retryMs);
  }
  connection.abort();
  return { gateway, door, coldStartMs: performance.now() - begun };
}

function ask(connection: Connection, request: RequestBytes, number: string): Promise<string | null> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => {
      connection.abort();
      resolve('no answer within 5 s');
    }, 5000);
    const settle = (fault: string | null): void => {
      clearTimeout(timer);
      resolve(fault);
    };
    connection.send(request.with(number, 0), {
      firstByte: () => {},
      progress: () => {},
      done: (reply) => settle(faultOf(reply, number, null)),
      failed: settle,
    });
  });
}
