import { readdirSync } from 'node:fs';
import { constants, setPriority } from 'node:os';

/**
 * Lets a Mizan beside this command have the processor first. On Linux a priority is a thread's: those there are by now get
 * it here, and those to come have it from them.
 */
export function stepBack(): void {
  const { PRIORITY_LOW: lowest } = constants.priority;
  try {
    if (process.platform !== 'linux') setPriority(lowest);
    else for (const thread of readdirSync('/proc/self/task')) setPriority(Number(thread), lowest);
  } catch {
    // Not every system lets a process do that; then it runs as others do.
  }
}
