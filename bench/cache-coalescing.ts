import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { parseArgs } from 'node:util';
import { Crowd } from '../test/support/crowd.ts';
import { completion, doneEvent, event, respond, usageEvent } from '../test/support/model-service.ts';
import { startRedis } from '../test/support/redis.ts';
import { Machines } from './machines.ts';
import { whole } from './options.ts';

// A thousand identical requests at the same moment over two processes and a real Redis, without anybody having been there
// before: how many upstream calls is that? One, as long as Redis answers both first looks within its 25 ms. Of streams
// half of them are there before the first word, and everybody is before the last.

const flags = { rounds: { type: 'string' }, callers: { type: 'string' } } as const;

const words = Array.from({ length: 20 }, (_, i) => `word${i} `);

/** Calls for the round's question, which wait for the bench. */
class Mock {
  readonly calls: { readonly response: ServerResponse; readonly stream: boolean }[] = [];
  readonly #server = createServer((request, response) => {
    const parts: Buffer[] = [];
    request.on('data', (part: Buffer) => parts.push(part));
    request.on('end', () => {
      const { stream } = JSON.parse(Buffer.concat(parts).toString()) as { readonly stream?: boolean };
      this.calls.push({ response, stream: stream === true });
      if (stream !== true) return;
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.write(event({ content: words[0] }));
    });
  });

  async start(): Promise<string> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/v1`;
  }

  answer(): void {
    for (const { response, stream } of this.calls.splice(0)) {
      if (stream)
        response.end(
          words
            .slice(1)
            .map((content) => event({ content }))
            .join('') +
            event({}, 'stop') +
            usageEvent +
            doneEvent,
        );
      else respond(response, 200, completion(words.join('')));
    }
  }

  stop(): void {
    this.#server.close();
    this.#server.closeAllConnections();
  }
}

async function main(): Promise<void> {
  const { values } = parseArgs({ options: flags });
  const rounds = whole('rounds', values.rounds, 10, [1, 1000]);
  const callers = whole('callers', values.callers, 1000, [2, 5000]);
  const mock = new Mock();
  const redis = await startRedis();
  const machines = await Machines.start({
    redis: { url: redis.url },
    providers: { mock: { kind: 'openai-compatible', baseUrl: await mock.start() } },
    models: { fast: { instances: [{ id: 'a', provider: 'mock', model: 'm' }], cache: 'always' } },
  });
  try {
    await machines.until('mizan_redis_up', 1);
    const crowd = new Crowd(callers / 2, machines.token);
    for (const stream of [false, true]) {
      const calls: number[] = [];
      let wrong = 0;
      const before = await machines.sum('mizan_redis_unanswered_total');
      for (let round = 0; round < rounds; round++) {
        const body = { model: 'fast', messages: [{ role: 'user', content: `${stream} ${round}` }], stream };
        const asking = Array.from({ length: callers }, (_, i) => crowd.ask(machines.urls[i % 2] ?? '', body));
        await machines.until('mizan_requests_in_flight', callers / 2);
        calls.push(mock.calls.length);
        mock.answer();
        for (const { said, status } of await Promise.all(asking))
          if (status !== 200 || said !== words.join('')) wrong++;
      }
      const silent = (await machines.sum('mizan_redis_unanswered_total')) - before;
      process.stdout.write(
        `${callers} at once over two processes, ${stream ? 'streamed' : 'whole'}, ${rounds} times: ` +
          `${calls.join(' ')} upstream calls; ${wrong} wrong; Redis had no time ${silent} times\n`,
      );
      if (wrong > 0 || calls.some((each) => each !== 1)) process.exitCode = 1;
    }
    await crowd.leave();
  } finally {
    await machines.end();
    await redis.end();
    mock.stop();
  }
}

await main();
