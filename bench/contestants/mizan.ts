import { execFile, spawnSync } from 'node:child_process';
import { cpSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { Door } from '../load/plan.ts';
import { freePort } from '../system/ports.ts';
import { Unavailable } from './contestant.ts';
import type { Contestant, Site } from './contestant.ts';
import { cachedDoor, chatDoor, processDoor, upstreamKey } from './doors.ts';

const root = fileURLToPath(new URL('../../', import.meta.url));
const env = { PATH: process.env['PATH'], HOME: process.env['HOME'], NODE_ENV: 'production', LOG_LEVEL: 'info' };

interface Variant {
  readonly name: string;
  readonly door: (port: number, headers: Record<string, string>) => Door;
  /** The command that prints the caller's identity, and what of its output that is. */
  readonly identity: readonly [command: readonly string[], pattern: RegExp];
  readonly workers?: number;
  /** Run the bundle, as it is published, instead of the sources. */
  readonly isBundle?: boolean;
}

const jwt = [['token', 'create', '--ttl', '24h'], /[\w-]+\.[\w-]+\.[\w-]+/] as const;
const apiKey = [['keys', 'create', '--name', 'bench'], /mz_\S+/] as const;

/** Mizan as it is meant to run: authentication, metrics and the committed request log all on. */
function variant({ name, door, identity, workers = 1, isBundle = false }: Variant): Contestant {
  return {
    name,
    async prepare(site) {
      const bin = isBundle ? bundled(site) : join(root, 'bin/mizan.js');
      const port = await freePort();
      const metricsPort = await freePort();
      writeFileSync(join(site.dir, 'mizan.yaml'), configuration(site, workers));
      const where = ['--config', join(site.dir, 'mizan.yaml'), '--data', join(site.dir, 'data')];
      const credential = await printed([bin, ...identity[0], ...where], identity[1], site);
      return {
        launch: {
          command: process.execPath,
          args: [bin, 'start', ...where, '--port', String(port), '--metrics-port', String(metricsPort)],
          cwd: site.dir,
          env,
          logFile: join(site.dir, 'mizan.log'),
        },
        door: door(port, { authorization: `Bearer ${credential}` }),
      };
    },
  };
}

function configuration({ upstreamPort }: Site, workers: number): string {
  return `
server: { workers: ${workers} }
providers:
  mock: { kind: openai-compatible, baseUrl: "http://127.0.0.1:${upstreamPort}/v1", apiKey: ${upstreamKey} }
models:
  bench:
    strategy: round-robin
    instances:
      - { id: a, provider: mock, model: bench-upstream }
agents:
  bench: { model: bench, system: You are a careful assistant., params: { temperature: 0.2 } }
`;
}

/** Builds what would be published, and puts it where there is nothing else. */
function bundled({ dir }: Site): string {
  const build = spawnSync(process.execPath, [join(root, 'scripts/build.ts')], {
    cwd: root,
    timeout: 120_000,
    encoding: 'utf8',
  });
  if (build.status !== 0) throw new Unavailable(`the bundle could not be built\n${build.stderr.slice(-1000)}`);
  for (const part of ['bin', 'dist', 'package.json']) {
    cpSync(join(root, part), join(dir, 'package', part), { recursive: true });
  }
  return join(dir, 'package/bin/mizan.js');
}

/** What a Mizan command says that matches `pattern`. */
async function printed(args: string[], pattern: RegExp, site: Site): Promise<string> {
  const command = `mizan ${args.slice(1, 3).join(' ')}`;
  const options = { cwd: site.dir, env, timeout: 30_000 };
  let said = '';
  try {
    const { stdout, stderr } = await promisify(execFile)(process.execPath, args, options);
    const credential = pattern.exec(stdout)?.[0];
    if (credential !== undefined) return credential;
    said = stdout + stderr;
  } catch (cause) {
    said = cause instanceof Error ? cause.message : '';
  }
  throw new Unavailable(`${command} printed no credential\n${said.trim().split('\n').slice(-12).join('\n')}`);
}

export const mizan = variant({ name: 'mizan', door: chatDoor, identity: jwt });
export const mizanKey = variant({ name: 'mizan-key', door: chatDoor, identity: apiKey });
export const mizanProcess = variant({ name: 'mizan-process', door: processDoor, identity: jwt });
export const mizanHit = variant({ name: 'mizan-hit', door: cachedDoor, identity: jwt });
export const mizanBundle = variant({ name: 'mizan-bundle', door: chatDoor, identity: jwt, isBundle: true });
export const mizanTwo = variant({ name: 'mizan-2', door: chatDoor, identity: jwt, workers: 2 });
