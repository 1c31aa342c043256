import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { freePort } from '../system/ports.ts';
import { Unavailable } from './contestant.ts';
import type { Contestant } from './contestant.ts';
import { chatDoor, upstreamKey } from './doors.ts';

/** The versions that Portkey's own lock file names: with newer ones it answers 500 to every stream. */
const manifest = {
  private: true,
  dependencies: { '@portkey-ai/gateway': '1.15.2' },
  overrides: { hono: '4.9.7', '@hono/node-server': '1.13.5' },
};

const cache = fileURLToPath(new URL('../.cache/portkey/', import.meta.url));

/** The gateway of npm's `@portkey-ai/gateway`, as its `npx` command would run it. It keeps no log and asks no token. */
export const portkey = {
  name: 'portkey',
  async prepare({ dir, upstreamPort }) {
    const script = fetched();
    const port = await freePort();
    return {
      launch: {
        command: process.execPath,
        args: [script, '--headless', `--port=${port}`],
        cwd: dir,
        env: { NODE_ENV: 'production' },
        logFile: join(dir, 'portkey.log'),
      },
      door: chatDoor(port, {
        authorization: `Bearer ${upstreamKey}`,
        'x-portkey-provider': 'openai',
        'x-portkey-custom-host': `http://127.0.0.1:${upstreamPort}/v1`,
      }),
    };
  },
} satisfies Contestant;

/** The script that starts it, out of `bench/.cache`; npm brings it there the first time. */
function fetched(): string {
  const script = join(cache, 'node_modules/@portkey-ai/gateway/build/start-server.js');
  const wanted = JSON.stringify(manifest, null, 2);
  const manifestFile = join(cache, 'package.json');
  if (existsSync(script) && existsSync(manifestFile) && readFileSync(manifestFile, 'utf8') === wanted) return script;
  process.stderr.write('bench: fetching Portkey from npm\n');
  mkdirSync(cache, { recursive: true });
  writeFileSync(manifestFile, wanted);
  const args = ['install', '--no-audit', '--no-fund', '--no-package-lock', '--ignore-scripts', '--loglevel=error'];
  const npm = spawnSync('npm', args, { cwd: cache, timeout: 180_000, encoding: 'utf8' });
  if (npm.status === 0 && existsSync(script)) return script;
  throw new Unavailable(`npm could not fetch it: ${(npm.stderr ?? '').trim().split('\n').at(-1) ?? 'no reason given'}`);
}
