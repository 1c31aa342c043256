import type { Contestant } from './contestant.ts';
import { chatDoor, upstreamKey } from './doors.ts';

/** Nothing between the load and the upstream: what the others' latencies are compared with. */
export const direct = {
  name: 'direct',
  async prepare({ upstreamPort }) {
    return { launch: null, door: chatDoor(upstreamPort, { authorization: `Bearer ${upstreamKey}` }) };
  },
} satisfies Contestant;
