import { execFile, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';

/** Another implementation of JOSE, in C: Debian's command `jose`. Installed where that may be done: as root. */
export function installJose(): string {
  const found = find();
  if (found !== undefined) return found;
  const missing = 'The command "jose" is missing, which these tests compare with: apt-get install jose';
  if (process.getuid?.() !== 0 || !existsSync('/usr/bin/apt-get')) throw new Error(missing);
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  const apt = (...args: string[]): boolean => spawnSync('apt-get', args, { env, timeout: 180_000 }).status === 0;
  const install = ['install', '-y', '-q', '--no-install-recommends', 'jose'];
  if (!apt(...install) && !(apt('update', '-q') && apt(...install))) throw new Error(missing);
  const installed = find();
  if (installed === undefined) throw new Error(missing);
  return installed;
}

function find(): string | undefined {
  return ['/usr/bin/jose', '/usr/local/bin/jose', '/opt/homebrew/bin/jose'].find((file) => existsSync(file));
}

/** Runs a command with something on its stdin; what it prints. Rejects where it fails. */
export function pipe(command: string, args: readonly string[], input: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = execFile(command, args, (error, stdout, stderr) => {
      if (error === null) resolve(stdout);
      else reject(new Error(`${command} ${args.join(' ')}: ${stderr}`));
    });
    // Not every command reads it.
    child.stdin?.on('error', () => {}).end(input);
  });
}
