#!/usr/bin/env node
// Plain JavaScript that an old Node can read: it finds a Node that is new enough, and hands over to the command.
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import module from 'node:module';
import { constants, homedir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const oldest = 24;
const here = (path) => new URL(path, import.meta.url);

endWithNpm();
if (Number.parseInt(process.versions.node, 10) >= oldest) {
  endWithLauncher();
  keepCompiledCode();
  // A clone has the sources, a published package or an image the bundle.
  await import(existsSync(here('../src')) ? '../src/cli/index.ts' : '../dist/cli.js');
} else {
  launch();
}

/** Runs this file again on the Node that the dev dependency `node` pins. */
function launch() {
  const pinned = ['../node_modules/node/bin/node', '../node_modules/node/bin/node.exe']
    .map((path) => fileURLToPath(here(path)))
    .find((path) => existsSync(path));
  if (pinned === undefined) {
    process.stderr.write(`mizan needs Node ${oldest} or newer; this is ${process.version}.\n`);
    process.exit(2);
  }
  const child = spawn(pinned, [...process.execArgv, ...process.argv.slice(1)], {
    stdio: ['inherit', 'inherit', 'inherit', 'ipc'],
    env: { ...process.env, MIZAN_LAUNCHER: String(process.pid) },
  });
  for (const signal of ['SIGTERM', 'SIGHUP', 'SIGINT', 'SIGQUIT']) {
    // What is typed at a terminal reaches the child from there already.
    const typed = process.stdin.isTTY && (signal === 'SIGINT' || signal === 'SIGQUIT');
    process.on(signal, () => typed || child.kill(signal));
  }
  child.on('error', (error) => {
    process.stderr.write(`mizan cannot run ${pinned}: ${error.message}\n`);
    process.exit(2);
  });
  child.on('exit', (code, signal) => process.exit(code ?? 128 + constants.signals[signal]));
}

/** If the launcher is killed without a chance to pass it on, this process must not stay behind. */
function endWithLauncher() {
  const launcher = process.env.MIZAN_LAUNCHER;
  delete process.env.MIZAN_LAUNCHER;
  if (launcher !== String(process.ppid) || process.channel === undefined) return;
  process.once('disconnect', () => process.kill(process.pid, 'SIGKILL'));
  process.channel.unref();
}

/**
 * What was compiled once is kept for the next start, in a folder of this user's own: Node's default lies where any user
 * of the machine could put code of theirs. Where nothing can be written, it is compiled again each time.
 */
function keepCompiledCode() {
  if (process.env.NODE_COMPILE_CACHE !== undefined) {
    module.enableCompileCache();
    return;
  }
  try {
    const caches = process.env.XDG_CACHE_HOME || join(homedir(), '.cache');
    // Made here, since Node's own way of making them never ends where nobody can make anything, such as in `/proc`.
    for (const folder of [caches, join(caches, 'mizan')]) if (!existsSync(folder)) mkdirSync(folder, { mode: 0o700 });
    module.enableCompileCache(join(caches, 'mizan'));
  } catch {
    // No home, or none that can be written to.
  }
}

/** A signal to `npx` or `npm` may end only the shell that it runs this in: it is passed on here. */
function endWithNpm() {
  if (process.env.npm_command === undefined) return;
  const parent = process.ppid;
  const watch = setInterval(() => {
    if (process.ppid === parent) return;
    clearInterval(watch);
    process.kill(process.pid, 'SIGTERM');
  }, 250);
  watch.unref();
}
