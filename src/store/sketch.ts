/**
 * How many values fell into which bin, where every bin is a tenth wider than the one before: percentiles are right to
 * 5 %, sketches of parts add up to the sketch of the whole, and a hundred bins reach from 0.1 ms to an hour.
 */
export type Sketch = Map<number, number>;

/** The upper end of bin 0, in ms. */
export const leastMs = 0.1;

/** By how much each bin is wider than the one before. */
export const growth = 1.1;

/** `3:17,4:2`: bin and count. */
export function readSketch(text: string): Sketch {
  const sketch: Sketch = new Map();
  for (const part of text.split(',')) {
    const [bin, count] = part.split(':').map(Number);
    if (bin !== undefined && count !== undefined) sketch.set(bin, count);
  }
  return sketch;
}

export function writeSketch(sketch: Sketch): string {
  return [...sketch]
    .toSorted(([a], [b]) => a - b)
    .map(([bin, count]) => `${bin}:${count}`)
    .join(',');
}

/** Adds `other` to `sketch`. */
export function addSketch(sketch: Sketch, other: Sketch): void {
  for (const [bin, count] of other) sketch.set(bin, (sketch.get(bin) ?? 0) + count);
}

/** The bin that `ms` falls into. */
export function binOf(ms: number): number {
  return ms <= leastMs ? 0 : Math.floor(Math.log(ms / leastMs) / Math.log(growth)) + 1;
}

/** The value below which `share` (0 to 1) of all lie, in ms; `null` where there are none. */
export function percentile(sketch: Sketch, share: number): number | null {
  const bins = [...sketch].toSorted(([a], [b]) => a - b);
  const total = bins.reduce((sum, [, count]) => sum + count, 0);
  let seen = 0;
  for (const [bin, count] of bins) {
    seen += count;
    if (seen >= share * total) return bin === 0 ? leastMs : leastMs * growth ** (bin - 0.5);
  }
  return null;
}
