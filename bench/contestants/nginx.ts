import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { freePort } from '../system/ports.ts';
import { Unavailable } from './contestant.ts';
import type { Contestant } from './contestant.ts';
import { chatDoor, upstreamKey } from './doors.ts';

/** A plain proxy with kept connections on both sides and no log: about the least that a proxy can do. */
export const nginx = {
  name: 'nginx',
  async prepare({ dir, upstreamPort }) {
    const command = find() ?? install();
    const port = await freePort();
    for (const folder of ['temp', 'logs']) mkdirSync(join(dir, folder), { recursive: true });
    writeFileSync(join(dir, 'nginx.conf'), configuration(dir, port, upstreamPort));
    return {
      launch: {
        command,
        args: ['-p', dir, '-c', join(dir, 'nginx.conf'), '-e', join(dir, 'logs', 'error.log')],
        cwd: dir,
        env: {},
        logFile: join(dir, 'logs', 'error.log'),
      },
      door: chatDoor(port, { authorization: `Bearer ${upstreamKey}` }),
    };
  },
} satisfies Contestant;

function find(): string | undefined {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/usr/local/sbin'];
  return folders.map((folder) => join(folder, 'nginx')).find((file) => existsSync(file));
}

/** Debian's, where the bench may install packages: as root. Its service is not started. */
function install(): string {
  if (process.getuid?.() !== 0 || !existsSync('/usr/bin/apt-get')) {
    throw new Unavailable('nginx is not installed (apt-get install nginx)');
  }
  process.stderr.write('bench: installing nginx from Debian\n');
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' };
  const apt = (...args: string[]): boolean => spawnSync('apt-get', args, { env, timeout: 180_000 }).status === 0;
  const packages = ['install', '-y', '-q', '--no-install-recommends', 'nginx'];
  if (!apt(...packages) && !(apt('update', '-q') && apt(...packages))) {
    throw new Unavailable('apt-get could not install nginx');
  }
  const command = find();
  if (command === undefined) throw new Unavailable('nginx is not where Debian puts it');
  return command;
}

function configuration(dir: string, port: number, upstreamPort: number): string {
  const temp = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((of) => `${of}_temp_path ${dir}/temp/${of};`);
  return `
${process.getuid?.() === 0 ? 'user root;' : ''}
daemon off;
worker_processes 1;
pid ${dir}/nginx.pid;
error_log ${dir}/logs/error.log warn;
events { worker_connections 4096; }
http {
  access_log off;
  keepalive_requests 1000000;
  ${temp.join('\n  ')}
  upstream mock {
    server 127.0.0.1:${upstreamPort};
    keepalive 256;
    keepalive_requests 1000000;
  }
  server {
    listen 127.0.0.1:${port};
    location / {
      proxy_pass http://mock;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
    }
  }
}
`;
}
