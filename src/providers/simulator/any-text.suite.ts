import fc from 'fast-check';

/** What joins its neighbours in one way or another, and what doesn't. */
const characters = Array.from(
  'aZ9 _.,\r\n\t٠مرحَبًاپچשלῥωДйกำकषि््你かガ한👍🏽🇸🇦👨‍👩‍👧©\u200d\ufe0f\u00ad\u06dd\u1100\u1161\ud83d',
);

/** Texts as people, programs and nobody at all would write them, halves of surrogate pairs among them. */
export const anyText = fc.oneof(
  fc.lorem(),
  fc.string({ unit: 'grapheme' }),
  fc.array(fc.constantFrom(...characters)).map((parts) => parts.join('')),
  fc.array(fc.nat(0xffff)).map((units) => String.fromCharCode(...units)),
  fc.array(fc.nat(0x10_ffff)).map((points) => String.fromCodePoint(...points)),
);
