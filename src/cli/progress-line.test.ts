import { PassThrough } from 'node:stream';
import { expect, test } from 'vitest';
import { progressLine } from './progress-line.ts';

function stream(isTTY: boolean): { readonly stream: NodeJS.WriteStream; readonly said: () => string } {
  const through = new PassThrough({ encoding: 'utf8' });
  let said = '';
  through.on('data', (text: string) => {
    said += text;
  });
  return { stream: Object.assign(through, { isTTY }) as unknown as NodeJS.WriteStream, said: () => said };
}

test('on a terminal a line says how far it is, and goes', () => {
  const { stream: terminal, said } = stream(true);
  const line = progressLine(terminal);
  expect(line.isSeen).toBe(true);
  line.show('export', 25, 100);
  line.show('export', 26, 100);
  expect(said()).toMatch(/^\r\u{1b}\[Kexport █{8}░{22} 25 %, 25 rows$/u);
  line.clear();
  expect(said()).toMatch(/25 rows\r\u{1b}\[K$/u);
});

test('elsewhere it says nothing', () => {
  const { stream: file, said } = stream(false);
  const line = progressLine(file);
  line.show('export', 25, 100);
  line.clear();
  expect([line.isSeen, said()]).toEqual([false, '']);
});
