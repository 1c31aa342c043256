import { Writable } from 'node:stream';
import { describe, expect, test } from 'vitest';
import { HeldWrites } from './held-writes.ts';

/** Streams that write down in which order they were written to. */
function streamsInto(written: string[], ...names: string[]): Writable[] {
  return names.map(
    (name) =>
      new Writable({
        decodeStrings: false,
        write(chunk: string, _encoding, done) {
          written.push(name + chunk);
          done();
        },
      }),
  );
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe.each([0, 1])('what is written to streams that are held, %i ms apart', (spacingMs) => {
  test('goes out together, each in its order', async () => {
    const written: string[] = [];
    const [a, b] = streamsInto(written, 'a', 'b') as [Writable, Writable];
    const held = new HeldWrites(spacingMs);
    for (const n of [1, 2]) {
      for (const stream of [a, b]) {
        held.hold(stream);
        stream.write(String(n));
      }
    }
    await Promise.resolve();
    expect(written).toEqual([]);
    await turn();
    expect(written).toEqual(['a1', 'a2', 'b1', 'b2']);
  });

  test('waits for nothing that comes later', async () => {
    const written: string[] = [];
    const [a] = streamsInto(written, 'a') as [Writable];
    const held = new HeldWrites(spacingMs);
    for (let n = 0; n < 5; n++) {
      held.hold(a);
      a.write(String(n));
      while (written.length === n) await turn();
    }
    expect(written).toEqual(['a0', 'a1', 'a2', 'a3', 'a4']);
  });

  test('goes out at once with the end', () => {
    const written: string[] = [];
    const [a] = streamsInto(written, 'a') as [Writable];
    const held = new HeldWrites(spacingMs);
    held.hold(a);
    a.write('1');
    a.end('2');
    expect(written).toEqual(['a1', 'a2']);
  });

  test('is lost with the stream, and holds up no other', async () => {
    const written: string[] = [];
    const [a, b] = streamsInto(written, 'a', 'b') as [Writable, Writable];
    const held = new HeldWrites(spacingMs);
    for (const stream of [a, b]) {
      held.hold(stream);
      stream.write('1');
    }
    a.destroy();
    while (written.length === 0) await turn();
    expect(written).toEqual(['b1']);
  });

  test('is more than the stream has room for: that is told, and so is that there is room again', async () => {
    const [a] = streamsInto([], 'a') as [Writable];
    const held = new HeldWrites(spacingMs);
    held.hold(a);
    expect(a.write('x'.repeat(a.writableHighWaterMark))).toBe(false);
    await new Promise((resolve) => a.once('drain', resolve));
  });
});

test('two releases are as far apart as wanted', async () => {
  const written: string[] = [];
  const [a] = streamsInto(written, 'a') as [Writable];
  const held = new HeldWrites(40);
  held.hold(a);
  a.write('1');
  await turn();
  expect(written).toEqual(['a1']);
  const releasedAt = performance.now();
  held.hold(a);
  a.write('2');
  while (written.length < 2) await turn();
  expect(performance.now() - releasedAt).toBeGreaterThan(35);
});
