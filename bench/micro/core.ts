import { newRequestId } from '../../src/core/ids.ts';
import { JsonDocument } from '../../src/core/json-document.ts';
import { chatDoor } from '../contestants/doors.ts';
import type { Micro } from './harness.ts';

const small = Buffer.from(chatDoor(0, {}).body);

/** A conversation of 20 KB, a third of it Arabic. */
const long = Buffer.from(
  JSON.stringify({
    model: 'bench',
    messages: Array.from({ length: 40 }, (_, i) => ({
      role: i % 2 === 0 ? 'user' : 'assistant',
      content:
        'How much does the second courier ask for three kilograms?\n'.repeat(4) + 'كم يطلب الناقل الثاني؟ '.repeat(5),
    })),
    stream: true,
  }),
);

const edits = [
  { member: 'model', json: '"bench-upstream"', at: 'value' },
  { member: 'stream_options', json: '{"include_usage":true}', at: 'value' },
] as const;

const now = Date.now();
const kilobytes = (bytes: Buffer): string => `${(bytes.length / 1024).toFixed(0)} KB`;

export const core: readonly Micro[] = [
  ...[small, long].flatMap((bytes) => [
    { name: `JSON.parse, ${kilobytes(bytes)}`, run: (): unknown => JSON.parse(bytes.toString()) },
    { name: `JsonDocument.parse, ${kilobytes(bytes)}`, run: (): unknown => JsonDocument.parse(bytes) },
    {
      name: `JsonDocument.parse + edited, ${kilobytes(bytes)}`,
      run: (): unknown => JsonDocument.parse(bytes).edited(edits),
    },
  ]),
  { name: 'newRequestId, in one millisecond', run: () => newRequestId(now) },
];
