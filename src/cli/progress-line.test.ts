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
  const shown = `\r\u{1b}[Kexport ${'█'.repeat(8)}${'░'.repeat(22)} 25 %, 25 rows`;
  expect(said()).toBe(shown);
  line.clear();
  expect(said()).toBe(`${shown}\r\u{1b}[K`);
});

test('elsewhere it says nothing', () => {
  const { stream: file, said } = stream(false);
  const line = progressLine(file);
  line.show('export', 25, 100);
  line.clear();
  expect([line.isSeen, said()]).toEqual([false, '']);
});
