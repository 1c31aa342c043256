import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { resolve } from 'node:path';

/** The command. */
export const bin = resolve(import.meta.dirname, '../bin/mizan.js');

/** A process of Mizan. */
export interface Machine {
  readonly url: string;
  readonly metricsUrl: string;
  readonly dataFolder: string;
  readonly kill: (signal: 'SIGTERM' | 'SIGKILL') => Promise<void>;
}

/** Starts a process on free ports, and waits until it listens. */
export async function startMachine(
  configFile: string,
  dataFolder: string,
  role: 'all' | 'gateway' = 'all',
): Promise<Machine> {
  const where = ['--config', configFile, '--data', dataFolder, '--role', role];
  const args = [bin, 'start', ...where, '--port', '0', '--metrics-port', '0'];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'ignore', 'pipe'] });
  const ended = once(child, 'exit');
  const { promise, resolve: listens } = Promise.withResolvers<readonly [url: string, metricsUrl: string]>();
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said += text;
    const [, url, metricsUrl] = /listens on (\S+), with metrics on (\S+)/.exec(said) ?? [];
    if (url !== undefined && metricsUrl !== undefined) listens([url, metricsUrl]);
  });
  const [url, metricsUrl] = await promise;
  return {
    url,
    metricsUrl,
    dataFolder,
    kill: async (signal) => {
      if (child.exitCode === null && child.signalCode === null) child.kill(signal);
      await ended;
    },
  };
}
