import { describe } from 'vitest';
import { dueTimePromises } from './due-times.suite.ts';
import { oneEffectPromises } from './one-effect.suite.ts';
import type { Prepare } from './scene.suite.ts';
import { sceneOn } from './scene.suite.ts';
import { successPromises } from './success-watch.suite.ts';
import { triesPromises } from './tries.suite.ts';
import { turnsPromises } from './turns.suite.ts';

export type { OpenJobs } from './scene.suite.ts';

/** What every scheduler promises, whatever the engine of its store. */
export function schedulerContract(name: string, prepare: Prepare): void {
  describe(`schedulers on ${name}`, () => {
    const scene = sceneOn(prepare);
    oneEffectPromises(scene);
    dueTimePromises(scene);
    triesPromises(scene);
    turnsPromises(scene);
    successPromises(scene);
  });
}
