/** Somebody who takes turns with others. `start` is on their common clock of service, which no wall clock moves. */
export interface Turn {
  /** How much more often than one of weight 1 it is served, while all of them always want to be. */
  weight: number;
  /** When its next service begins. */
  start: number;
}

/**
 * Start-time fair queueing (Goyal, Vin and Cheng, 1996), every service counting the same: whose next service begins
 * first is served. One that comes after a pause begins now: it neither waits for what others have piled up nor has
 * anything saved.
 */
export class Turns {
  #now = 0;

  /** Somebody wants to be served again. */
  enter(turn: Turn): void {
    turn.start = Math.max(turn.start, this.#now);
  }

  served(turn: Turn): void {
    this.#now = turn.start;
    turn.start += 1 / turn.weight;
  }

  /** Whether it is the same as one that was never served. */
  isForgettable(turn: Turn): boolean {
    return turn.start <= this.#now;
  }
}

/** The one whose turn it is; `undefined` where there is none. Of equals, the first. */
export function next<T extends Turn>(turns: Iterable<T>): T | undefined {
  let found: T | undefined;
  for (const turn of turns) if (found === undefined || turn.start < found.start) found = turn;
  return found;
}
