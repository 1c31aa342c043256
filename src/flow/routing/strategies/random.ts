import type { Instance, Strategy } from '../model.ts';
import { draw, weightOf } from './draw.ts';

/** Each instance as likely as its weight says, whatever was chosen before. */
export function random(): Strategy {
  return {
    // Weights are always over 0, so there is always one.
    choose: (choice) => draw(choice.candidates, choice.random, (one) => weightOf(one, choice.now)) as Instance,
  } satisfies Strategy;
}
