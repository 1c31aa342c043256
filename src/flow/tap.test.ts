import { expect, test } from 'vitest';
import { RecordingSink } from '../../test/support/calls.ts';
import type { ChatEvents } from '../core/chat.ts';
import { headWithoutAttempt } from './call.ts';
import { tapped } from './tap.ts';

const part = (text: string): ChatEvents => ({ bytes: Buffer.from(text), chunks: [{ text }] });

test('a tap is told of every part, in order and before the caller, and changes nothing', () => {
  const sink = new RecordingSink();
  const heard: [ChatEvents, number][] = [];
  const both = tapped(sink, (events) => heard.push([events, sink.events.length]));
  const head = headWithoutAttempt({ agent: null, model: null, gatewayMs: 1 });
  both.begin(head);
  const parts = [part('a'), part('b')];
  expect(both.write(parts[0]!, () => {})).toBe(true);
  sink.isFull = true;
  let isDrained = false;
  expect(both.write(parts[1]!, () => (isDrained = true))).toBe(false);
  sink.drain();
  expect({ isDrained, heads: sink.heads, events: sink.events }).toEqual({
    isDrained: true,
    heads: [head],
    events: parts,
  });
  expect(heard).toEqual([
    [parts[0], 0],
    [parts[1], 1],
  ]);
});
