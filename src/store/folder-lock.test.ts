import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { expect, test } from 'vitest';
import { temporaryFolder } from '../../test/support/folder.ts';
import { SetupError } from '../core/errors.ts';
import { countGateways, holdBackups, holdData, holdDataAlone, holdGateway } from './folder-lock.ts';

test('any number may use the data, and none beside one who has it to himself', () => {
  const folder = temporaryFolder();
  const users = [holdData(folder), holdData(folder)];
  expect(() => holdDataAlone(folder)).toThrow(expect.objectContaining({ code: 'backup_running' }));
  users[0]!.release();
  expect(() => holdDataAlone(folder)).toThrow(folder);
  users[1]!.release();
  holdDataAlone(folder).release();
  holdData(folder).release();
});

test('only one makes backups of the same data', () => {
  const [folder, another] = [temporaryFolder(), temporaryFolder()];
  const hold = holdBackups(folder);
  expect(() => holdBackups(folder)).toThrow(expect.objectContaining({ code: 'backup_running' }));
  holdBackups(another).release();
  hold.release();
  holdBackups(folder).release();
});

test('those who answer requests are counted, whoever looks at the same time', () => {
  const folder = temporaryFolder();
  expect(countGateways(folder)).toBe(0);
  const [first, second] = [holdGateway(folder), holdGateway(folder)];
  expect(countGateways(folder)).toBe(2);
  first?.release();
  expect(countGateways(folder)).toBe(1);
  const third = holdGateway(folder);
  expect(countGateways(folder)).toBe(2);
  second?.release();
  third?.release();
  expect(countGateways(folder)).toBe(0);
});

test('a process that is killed holds nothing any more', async () => {
  const folder = temporaryFolder();
  const code = `
    const { holdData, holdBackups, holdGateway } = await import(${JSON.stringify(import.meta.resolve('./folder-lock.ts'))});
    globalThis.holds = [holdData, holdBackups, holdGateway].map((hold) => hold(process.argv[1]));
    process.stdout.write('held');
    setInterval(() => {}, 1000);`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', code, folder], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(child.stdout, 'data');
  expect(() => holdDataAlone(folder)).toThrow(/Stop it first/);
  expect(() => holdBackups(folder)).toThrow(/Another backup/);
  expect(countGateways(folder)).toBe(1);
  child.kill('SIGKILL');
  await once(child, 'exit');
  expect(countGateways(folder)).toBe(0);
  holdDataAlone(folder).release();
  holdBackups(folder).release();
});

test('a folder that can’t be made is something to mend', () => {
  expect(() => holdData('/proc/nowhere/data')).toThrow(SetupError);
});
