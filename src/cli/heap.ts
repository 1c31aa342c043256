import { setFlagsFromString } from 'node:v8';

/** A heap may grow by this share of what is alive before what is not is looked for, in percent. */
const growthPercent = 40;

/**
 * Left to itself, V8 lets a heap in which much dies old, as a full cache does, grow to several times what is alive. Not
 * needed for a heap in which everything dies young: that never grows so far.
 */
export function boundHeapGrowth(): void {
  setFlagsFromString(`--heap-growing-percent=${growthPercent}`);
}
