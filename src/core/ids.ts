import { randomFillSync } from 'node:crypto';

const alphabet = '0123456789abcdefghjkmnpqrstvwxyz';
const pool = Buffer.alloc(4096);
let used = pool.length;
let lastTime = -1;
let lastTail: number[] = [];

function randomDigits(count: number): number[] {
  if (used + count > pool.length) {
    randomFillSync(pool);
    used = 0;
  }
  const digits: number[] = [];
  for (let i = 0; i < count; i++) digits.push((pool[used++] ?? 0) & 31);
  return digits;
}

/** Adds one to the number that `digits` spell in base 32; it wraps once in 2⁸⁰ times. */
function increment(digits: number[]): void {
  for (let i = digits.length - 1; i >= 0; i--) {
    const digit = digits[i] ?? 0;
    digits[i] = (digit + 1) & 31;
    if (digit < 31) return;
  }
}

/**
 * The least id that a request can have which arrived at `time` (ms since the Unix epoch) or later: ids sort by time, so
 * that a span of time is a range of ids.
 */
export function firstIdAt(time: number): string {
  return `req_${timeDigits(Math.max(0, Math.ceil(time)))}`;
}

function timeDigits(ms: number): string {
  let digits = '';
  for (let i = 0, time = ms; i < 10; i++, time = Math.floor(time / 32)) digits = alphabet[time % 32] + digits;
  return digits;
}

/** When the request came that an id is of, or where a bound of ids lies, in ms; `null` of a text without a time in it. */
export function timeOfId(id: string): number | null {
  const digits = /^req_([0-7][0-9a-z]{9})/.exec(id)?.[1];
  if (digits === undefined) return null;
  let ms = 0;
  for (const digit of digits) {
    const value = alphabet.indexOf(digit);
    if (value < 0) return null;
    ms = ms * 32 + value;
  }
  return ms;
}

/**
 * A new request id: `req_` and a ULID in lower case (48 bits of milliseconds, 80 of randomness).
 * Ids sort by time as text; those of one process never step back, not even when the clock does.
 */
export function newRequestId(now: number): string {
  if (now > lastTime) {
    lastTime = now;
    lastTail = randomDigits(16);
  } else {
    increment(lastTail);
  }
  let tail = '';
  for (const digit of lastTail) tail += alphabet[digit];
  return `req_${timeDigits(lastTime)}${tail}`;
}
