import type { Door } from '../load/plan.ts';
import { blankTicket } from '../ticket.ts';

const requestBytes = 1024;

const question =
  `${blankTicket} Our warehouse in Riyadh ships to nine cities, and each courier quotes a price by weight, distance ` +
  'and promised day. Compare the three quotes below, say which one is the cheapest for parcels under five kilograms, ' +
  'which one keeps its promises, and where the small print would surprise us. ';

const quotes = 'Courier: base 14.50, each further kilogram 2.25, fuel 7 %, delivered within two days in 93 of 100. ';

/** `body` with its text filled up so that it is exactly 1 KiB of JSON. */
function filled(body: (text: string) => object): string {
  const missing = requestBytes - Buffer.byteLength(JSON.stringify(body(question)));
  return JSON.stringify(body(question + quotes.repeat(20).slice(0, missing)));
}

/** OpenAI's dialect, as all contestants speak it. */
export function chatDoor(port: number, headers: Record<string, string>): Door {
  const system = { role: 'system', content: 'You are a careful assistant. Answer in the language of the question.' };
  return {
    port,
    path: '/v1/chat/completions',
    headers,
    body: filled((content) => ({
      model: 'bench',
      messages: [system, { role: 'user', content }],
      temperature: 0.2,
      max_tokens: 400,
      stream: false,
    })),
    streamEnd: 'data: [DONE]',
  };
}

/** The same, for requests that the cache has: few, and with a temperature of 0. */
export function cachedDoor(port: number, headers: Record<string, string>): Door {
  const door = chatDoor(port, headers);
  return { ...door, body: door.body.replace('"temperature":0.2', '"temperature":0.0'), repeats: 100 };
}

/** Mizan's own: run an agent. */
export function processDoor(port: number, headers: Record<string, string>): Door {
  return {
    port,
    path: '/ai-process',
    headers,
    body: filled((input) => ({ agent: 'bench', input, stream: false, metadata: { from: 'bench' } })),
    streamEnd: 'event: done',
  };
}

/** What an upstream would want to see; the mock doesn't look. */
export const upstreamKey = 'sk-bench-0000000000000000000000000000000000000000';
