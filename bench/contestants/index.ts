import type { Contestant } from './contestant.ts';
import { direct } from './direct.ts';
import { mizan, mizanBundle, mizanHit, mizanKey, mizanProcess, mizanTwo } from './mizan.ts';
import { nginx } from './nginx.ts';
import { portkey } from './portkey.ts';

/** Everyone that can take part, in the order of the table's rows. `direct` always does. */
export const contestants: readonly Contestant[] = [
  direct,
  nginx,
  portkey,
  mizan,
  mizanKey,
  mizanHit,
  mizanProcess,
  mizanBundle,
  mizanTwo,
];

/** Those that take part unless `--only` says otherwise. */
export const usual: readonly Contestant[] = [
  direct,
  nginx,
  portkey,
  mizan,
  mizanKey,
  mizanHit,
  mizanProcess,
  mizanBundle,
];
