import { flushCompileCache } from 'node:module';
import { setFlagsFromString } from 'node:v8';

/** A heap may grow by this share of what is alive before what is not is looked for, in percent. */
const growthPercent = 40;

/**
 * Left to itself, V8 lets a heap in which much dies old, as the entries of a full cache do, grow to several times what is alive. Not
 * needed for a heap in which everything dies young: that never grows so far.
 *
 * To be called when all is loaded. V8 takes nothing back that was compiled under other flags, and what Node keeps of its
 * own and of ours was not compiled under this one: so ours is kept first, and a start finds it.
 */
export function boundHeapGrowth(): void {
  flushCompileCache();
  setFlagsFromString(`--heap-growing-percent=${growthPercent}`);
}
