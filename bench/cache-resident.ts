import { parseArgs } from 'node:util';
import type { Contestant } from './contestants/contestant.ts';
import { mizan } from './contestants/mizan.ts';
import { whole } from './options.ts';
import { Stage } from './stage.ts';
import { percentile } from './stats.ts';
import { freePort } from './system/ports.ts';
import { cpuMicros, memory } from './system/procfs.ts';

// What does a whole Mizan take of the machine when a million distinct answers go through its cache, beside the same
// without one? The heap is looked at after a collection; what is resident is what the machine sees.

const flags = { requests: { type: 'string' } } as const;

const connections = 32;

/** So many answers before anything is looked at: code and buffers take their place. */
const warmUp = 30_000;

export interface Figures {
  readonly right: number;
  readonly wrong: number;
  /** In bytes, beyond what it was after the warm-up. */
  readonly alive: number;
  /** What the process has of the machine, in bytes: mostly, at most, and after a collection in the end. */
  readonly usual: number;
  readonly peak: number;
  readonly rested: number;
  /** What the cache says of itself. */
  readonly counted: number;
  readonly entries: number;
  /** Processor time of a request. */
  readonly cpuMicros: number;
}

/** Mizan, asked for what is kept or for what isn't, with an inspector to look at its heap. */
function contestant(isCached: boolean, inspectorPort: number): Contestant {
  return {
    name: isCached ? 'cache-on' : 'cache-off',
    async prepare(site) {
      const { launch, door } = await mizan.prepare(site);
      if (launch === null) throw new Error('Mizan was not started.');
      const body = isCached ? door.body.replace('"temperature":0.2', '"temperature":0.0') : door.body;
      const args = [`--inspect=127.0.0.1:${inspectorPort}`, ...launch.args];
      return { launch: { ...launch, args }, door: { ...door, body } };
    },
  };
}

/** Bytes that are alive in a process, after a collection. */
async function alive(inspectorPort: number): Promise<number> {
  const list = (await (await fetch(`http://127.0.0.1:${inspectorPort}/json/list`)).json()) as {
    readonly webSocketDebuggerUrl: string;
  }[];
  const socket = new WebSocket(list[0]?.webSocketDebuggerUrl ?? '');
  await new Promise((resolve) => socket.addEventListener('open', resolve, { once: true }));
  let id = 0;
  const ask = async (method: string, params: object = {}): Promise<unknown> => {
    const own = ++id;
    const { promise, resolve } = Promise.withResolvers<unknown>();
    const heard = ({ data }: MessageEvent): void => {
      const message = JSON.parse(String(data)) as { readonly id: number; readonly result: unknown };
      if (message.id === own) resolve(message.result);
    };
    socket.addEventListener('message', heard);
    socket.send(JSON.stringify({ id: own, method, params }));
    const answer = await promise;
    socket.removeEventListener('message', heard);
    return answer;
  };
  for (let i = 0; i < 3; i++) await ask('HeapProfiler.collectGarbage');
  const expression = '(({ heapUsed, external }) => heapUsed + external)(process.memoryUsage())';
  const { result } = (await ask('Runtime.evaluate', { expression })) as { readonly result: { readonly value: number } };
  socket.close();
  return result.value;
}

async function metricsOf(args: readonly string[]): Promise<(name: string) => number> {
  const port = args[args.indexOf('--metrics-port') + 1];
  const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
  return (name) => Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(text)?.[1] ?? 0);
}

async function figuresOf(isCached: boolean, requests: number): Promise<Figures> {
  using stage = await Stage.setUp();
  const inspectorPort = await freePort();
  const whom = contestant(isCached, inspectorPort);
  let args: readonly string[] = [];
  const row = await stage.open(
    {
      name: whom.name,
      async prepare(site) {
        const stand = await whom.prepare(site);
        args = stand.launch?.args ?? [];
        return stand;
      },
    },
    1,
  );
  const gateway = row.running?.gateway;
  if (!row.running || !gateway) throw new Error(row.unavailable ?? 'It did not start.');
  const { door } = row.running;
  const plan = { door, stream: false, connections, deadlineMs: 900_000 };
  await stage.load.run({ ...plan, door: { ...door, body: door.body.replace(':0.0', ':0.2') }, requests: warmUp });
  const aliveBefore = await alive(inspectorPort);
  const seen: number[] = [];
  const look = setInterval(() => seen.push(memory(gateway.pid).now), 250);
  const cpuBefore = cpuMicros(gateway.pid);
  const { right, wrong } = await stage.load.run({ ...plan, requests });
  clearInterval(look);
  const perRequest = (cpuMicros(gateway.pid) - cpuBefore) / (right + wrong);
  const metric = await metricsOf(args);
  const figures = {
    right,
    wrong,
    alive: (await alive(inspectorPort)) - aliveBefore,
    usual: percentile(Float64Array.from(seen), 0.5),
    peak: Math.max(...seen),
    rested: memory(gateway.pid).now,
    counted: metric('mizan_cache_bytes'),
    entries: metric('mizan_cache_entries'),
    cpuMicros: perRequest,
  };
  await row.close();
  return figures;
}

/** What a cache takes of the machine, beyond a Mizan without one that answers the same. */
export interface CacheMemory {
  readonly requests: number;
  readonly off: Figures;
  readonly on: Figures;
}

/** The memory that answers may take where nothing is said, in bytes. */
const maxBytes = 64 * 2 ** 20;

/** The share of it that a process may have more at the most. */
const mostShare = 1.1;

const mib = (bytes: number): string => (bytes / 2 ** 20).toFixed(1);

/** Asks for so many distinct answers without a cache, and then with one. */
export async function cacheMemory(requests: number): Promise<CacheMemory> {
  return { requests, off: await figuresOf(false, requests), on: await figuresOf(true, requests) };
}

/** As a table in Markdown. */
export function cacheReport({ requests, off, on }: CacheMemory): string {
  const line = (name: string, { alive: heap, usual, peak, rested, cpuMicros: cpu }: Figures): string =>
    `| ${name} | ${[heap, usual, peak, rested].map(mib).join(' | ')} | ${cpu.toFixed(0)} |`;
  const more = {
    ...on,
    alive: on.alive - off.alive,
    usual: on.usual - off.usual,
    peak: on.peak - off.peak,
    rested: on.rested - off.rested,
    cpuMicros: on.cpuMicros - off.cpuMicros,
  };
  return [
    `${requests} distinct answers; \`cache.maxBytes\` is ${mib(maxBytes)} MiB. ${on.entries} answers were kept in the end,`,
    `counted as ${mib(on.counted)} MiB. In MiB, what is alive beyond a warm-up of ${warmUp}, and what is resident:`,
    '',
    '| cache | alive | resident, median | at most | after a collection | CPU µs/request |',
    '| --- | ---: | ---: | ---: | ---: | ---: |',
    line('off', off),
    line('on', on),
    line('more', more),
    '',
    `The peak is ${(more.peak / maxBytes).toFixed(2)} × maxBytes higher (goal: ≤ ${mostShare} ×).`,
    '',
  ].join('\n');
}

/** Whether every answer was right, and the cache took no more than it may. */
export function isWithin({ off, on }: CacheMemory): boolean {
  return off.wrong === 0 && on.wrong === 0 && on.peak - off.peak <= maxBytes * mostShare;
}

if (import.meta.main) {
  const { values } = parseArgs({ options: flags });
  const found = await cacheMemory(whole('requests', values.requests, 1_000_000, [1000, 10_000_000]));
  process.stdout.write(cacheReport(found));
  if (!isWithin(found)) process.exitCode = 1;
}
