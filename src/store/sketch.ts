/**
 * How many values fell into which bin, where every bin is a tenth wider than the one before: percentiles are right to
 * 5 %, sketches of parts add up to the sketch of the whole, and a hundred bins reach from 0.1 ms to an hour. The index is
 * the bin; what is missing is 0.
 */
export type Sketch = number[];

/** The upper end of bin 0, in ms. */
export const leastMs = 0.1;

/** By how much each bin is wider than the one before. */
export const growth = 1.1;

/** More bins than any latency has; what is written down with more is not ours. */
const mostBins = 1000;

const [zero, nine, colon] = [48, 57, 58];

/** Adds a sketch that was written down: `3:17,4:2`, bin and count. Read digit by digit: overviews add up thousands. */
export function addWritten(sketch: Sketch, text: string): void {
  let bin = 0;
  let value = 0;
  for (let i = 0; i <= text.length; i++) {
    const code = text.charCodeAt(i);
    if (code >= zero && code <= nine) {
      value = value * 10 + code - zero;
      continue;
    }
    if (code === colon) bin = value;
    else addTo(sketch, bin, value);
    value = 0;
  }
}

function addTo(sketch: Sketch, bin: number, count: number): void {
  if (bin >= mostBins) return;
  while (sketch.length <= bin) sketch.push(0);
  sketch[bin] = (sketch[bin] ?? 0) + count;
}

export function readSketch(text: string): Sketch {
  const sketch: Sketch = [];
  addWritten(sketch, text);
  return sketch;
}

export function writeSketch(sketch: Sketch): string {
  return sketch.flatMap((count, bin) => (count === 0 ? [] : [`${bin}:${count}`])).join(',');
}

/** Adds `other` to `sketch`. */
export function addSketch(sketch: Sketch, other: Sketch): void {
  while (sketch.length < other.length) sketch.push(0);
  for (let bin = 0; bin < other.length; bin++) sketch[bin] = (sketch[bin] ?? 0) + (other[bin] ?? 0);
}

/** The bin that `ms` falls into. */
export function binOf(ms: number): number {
  return ms <= leastMs ? 0 : Math.floor(Math.log(ms / leastMs) / Math.log(growth)) + 1;
}

/** The value below which `share` (0 to 1) of all lie, in ms; `null` where there are none. */
export function percentile(sketch: Sketch, share: number): number | null {
  const total = sketch.reduce((sum, count) => sum + count, 0);
  if (total === 0) return null;
  let seen = 0;
  for (const [bin, count] of sketch.entries()) {
    seen += count;
    if (count > 0 && seen >= share * total) return bin === 0 ? leastMs : leastMs * growth ** (bin - 0.5);
  }
  return null;
}
