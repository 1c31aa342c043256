/**
 * One request through a Mizan of its own: `node scripts/smoke.ts NODE [FOLDER]`. NODE is the runtime to try, FOLDER has
 * `bin/` and either `src/` or `dist/`; by default it is this clone.
 */
import type { ChildProcess } from 'node:child_process';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';

const root = path.resolve(import.meta.dirname, '..');
const [node = process.execPath, folder = root] = process.argv.slice(2);
const command = path.join(path.resolve(folder), 'bin/mizan.js');
const data = mkdtempSync(path.join(tmpdir(), 'mizan-smoke-'));
const environment = { PATH: process.env['PATH'], HOME: process.env['HOME'] };

/** How long starting, and ending, may take. */
const patienceMs = 60_000;

function expect(what: string, isTrue: boolean, seen: unknown): void {
  if (!isTrue) throw new Error(`expected ${what}, got: ${typeof seen === 'string' ? seen : JSON.stringify(seen)}`);
}

async function mizan(...words: string[]): Promise<string> {
  const { stdout } = await promisify(execFile)(node, [command, ...words, '--data', data], { env: environment });
  return stdout;
}

/** The addresses it listens on, read from what it says. */
function listening(running: ChildProcess): Promise<{ url: string; metricsUrl: string }> {
  return new Promise((resolve, reject) => {
    let said = '';
    const hear = (text: string): void => {
      said += text;
      const [, url, metricsUrl] = /listens on (\S+), with metrics on (\S+)\n/.exec(said) ?? [];
      if (url !== undefined && metricsUrl !== undefined) resolve({ url, metricsUrl });
    };
    running.stdout?.setEncoding('utf8').on('data', hear);
    running.stderr?.setEncoding('utf8').on('data', hear);
    running.on('exit', (code) => reject(new Error(`it ended with ${code}, saying:\n${said}`)));
    setTimeout(
      () => reject(new Error(`it does not listen after ${patienceMs} ms, and said:\n${said}`)),
      patienceMs,
    ).unref();
  });
}

async function check(running: ChildProcess): Promise<void> {
  const { url, metricsUrl } = await listening(running);
  const token = (await mizan('token', 'create')).trim();
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
  const sample = readFileSync(path.join(root, 'sample_request.json'), 'utf8');

  const answer = await fetch(`${url}/ai-process`, { method: 'POST', headers, body: sample });
  const answered = await answer.text();
  expect('an answer', answer.status === 200 && answered.includes('"finish_reason":"stop"'), answered);

  const body = JSON.stringify({ input: 'Say hello', stream: true });
  const stream = await (await fetch(`${url}/ai-process`, { method: 'POST', headers, body })).text();
  expect('a stream with one end', stream.split('event: done').length === 2, stream);

  const log = await (await fetch(`${url}/api/requests?limit=10`, { headers })).text();
  expect('two rows in the request log', log.split('"req_').length >= 3, log);
  const rows = await mizan('requests', '--limit', '10');
  expect('two rows on the command line', rows.split('req_').length === 3, rows);

  const metrics = await (await fetch(metricsUrl)).text();
  expect('a counter', /^mizan_requests_total\{.*status="200"\} 2$/m.test(metrics), metrics);

  const library = path.join(
    path.resolve(folder),
    existsSync(path.join(folder, 'src')) ? 'src/security/index.ts' : 'dist/security.js',
  );
  const program = `import { AISecurity } from ${JSON.stringify(pathToFileURL(library).href)};
    const security = new AISecurity({ keys: [AISecurity.generateKey()] });
    console.log(await security.decryptData(await security.encryptData('sealed')));`;
  // A library has no launcher that would bring the pinned Node: sources need one that reads TypeScript.
  const version = (await promisify(execFile)(node, ['--version'])).stdout;
  const reader = library.endsWith('.ts') && Number.parseInt(version.slice(1), 10) < 24 ? process.execPath : node;
  const { stdout: opened } = await promisify(execFile)(reader, ['--input-type=module', '-e', program], {
    env: environment,
  });
  expect('what was encrypted', opened === 'sealed\n', opened);

  const ended = once(running, 'exit', { signal: AbortSignal.timeout(patienceMs) });
  running.kill('SIGTERM');
  const [code] = await ended;
  expect('exit code 0 after SIGTERM', code === 0, code);
}

const start = ['start', '--port', '0', '--metrics-port', '0', '--data', data];
const running = spawn(node, [command, ...start], { env: environment, stdio: ['ignore', 'pipe', 'pipe'] });
try {
  await check(running);
  const { stdout: version } = await promisify(execFile)(node, ['--version']);
  process.stdout.write(`ok: ${path.relative(process.cwd(), command)} on Node ${version.trim()}\n`);
} finally {
  running.kill('SIGKILL');
  rmSync(data, { recursive: true, force: true });
}
