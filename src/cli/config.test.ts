import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';

const command = fileURLToPath(new URL('../../bin/mizan.js', import.meta.url));

let folder = '';

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'mizan-cli-config-'));
  writeFileSync(join(folder, 'bad.yaml'), 'server: { prot: 1 }\nmodels:\n  fast:\n    stratgy: x\n');
  writeFileSync(join(folder, 'good.yaml'), 'providers: { simulator: {} }\ncache: { ttl: 60 }\n');
});

afterAll(() => rmSync(folder, { recursive: true }));

function mizan(...args: string[]): { status: number | null; stdout: string; stderr: string } {
  const env = { PATH: process.env['PATH'] ?? '' };
  const { status, stdout, stderr } = spawnSync(process.execPath, [command, ...args], {
    cwd: folder,
    env,
    encoding: 'utf8',
  });
  return { status, stdout, stderr };
}

test('config check says each problem in a line of its own on stderr, and exits 2', () => {
  expect(mizan('config', 'check', '--config', 'bad.yaml')).toEqual({
    status: 2,
    stdout: '',
    stderr:
      'bad.yaml:1:11 server.prot: unknown key; did you mean "port"?\n' +
      'bad.yaml:4:5 models.fast.stratgy: unknown key; did you mean "strategy"?\n',
  });
});

test('config check says that a file is valid and what is in it, and exits 0', () => {
  expect(mizan('config', 'check', '--config', 'good.yaml', '--data', 'data')).toEqual({
    status: 0,
    stdout: '',
    stderr:
      'good.yaml is valid\n  providers: simulator\n  models: default\n  agents: assistant\n' +
      '  default agent: assistant\n',
  });
});

test('config check without a file says so', () => {
  expect(mizan('config', 'check').stderr).toMatch(/^There is no mizan\.yaml; the defaults are valid\n/);
});

test('config schema prints JSON on stdout, and nothing else', () => {
  const { status, stdout, stderr } = mizan('config', 'schema');
  expect([status, stderr]).toEqual([0, '']);
  expect(JSON.parse(stdout)).toMatchObject({ title: 'mizan.yaml', type: 'object' });
});
