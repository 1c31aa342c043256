import { hasMember } from '../system/child.ts';
import type { Plan } from './plan.ts';
import { run } from './run.ts';

// The load generator, as a process of its own: a plan comes in, its outcome goes out.

const isPlan = (message: unknown): message is Plan => hasMember(message, 'door');

process.on('message', (plan) => {
  if (isPlan(plan)) void run(plan).then((outcome) => process.send?.(outcome));
});
process.on('disconnect', () => process.exit(0));
