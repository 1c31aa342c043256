import { once } from 'node:events';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { dialects } from './support/dialects.ts';
import { ask, wire } from './support/http.ts';
import type { Upstream } from './support/model-service.ts';
import { beginStream, doneEvent, event, startUpstream } from './support/model-service.ts';
import type { RunningProcess } from './support/mizan.ts';
import { startProcess } from './support/mizan.ts';

// Every command is a process, and the machine may have much else to do.
vi.setConfig({ testTimeout: 120_000 });

const mebibyte = 1024 * 1024;
const token = 'w'.repeat(16 * 1024);
/** 64 MiB: far more than what lies in the sockets between the upstream and a caller. */
const tokens = 4 * 1024;

let upstream: Upstream;
let mizan: RunningProcess;
/** What Mizan's side has taken of the stream so far, in bytes. */
let sent = 0;

beforeAll(async () => {
  upstream = await startUpstream({
    torrent: async (_request, response) => {
      beginStream(response);
      for (let i = 0; i < tokens; i++) {
        if (!response.write(event({ content: token }))) await once(response, 'drain');
        sent = i * token.length;
      }
      response.end(event({}, 'stop') + doneEvent);
    },
  });
  mizan = await startProcess({
    providers: { mock: { kind: 'openai-compatible', baseUrl: upstream.url } },
    models: { torrent: { instances: [{ id: 'a', provider: 'mock', model: 'torrent' }] } },
    agents: { torrent: { model: 'torrent' } },
  });
});

afterAll(async () => {
  await mizan.end();
  await upstream.close();
});

/** In bytes. Asking also gives Mizan a turn. */
async function memory(): Promise<number> {
  const { text } = await ask(`${mizan.metricsUrl}/metrics`);
  return Number(/^process_resident_memory_bytes (\d+)$/m.exec(text)?.[1]);
}

test.for(dialects)(
  'a caller of $path who reads slowly slows the upstream down, and costs no memory',
  async ({ path, body }) => {
    const identity = await mizan.token();
    const { socket, until, heard } = await wire(mizan.url);
    const asked = JSON.stringify(body('torrent'));
    const before = await memory();
    sent = 0;
    socket.write(
      `POST ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer ${identity}\r\n` +
        `Content-Type: application/json\r\nContent-Length: ${Buffer.byteLength(asked)}\r\n\r\n${asked}`,
    );
    await until(/www/);
    socket.pause();
    // It reads nothing until the upstream gets rid of nothing, for longer than an upstream may be idle.
    const pausedAt = performance.now();
    for (let still = 0, last = sent; still < 50 || performance.now() - pausedAt < 300; last = sent) {
      expect(sent).toBeLessThan(32 * mebibyte);
      expect((await memory()) - before).toBeLessThan(64 * mebibyte);
      still = sent === last ? still + 1 : 0;
    }
    // Then it reads on, and misses nothing.
    socket.resume();
    const text = await heard;
    expect(text.match(/w{16384}/g)).toHaveLength(tokens);
    expect(text).toMatch(path === '/ai-process' ? /event: done/ : /data: \[DONE\]/);
  },
);
