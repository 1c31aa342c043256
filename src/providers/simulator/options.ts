import { z } from 'zod';
import { faultSchema } from './faults.ts';

const latencyError = 'expected a number of milliseconds from 0 to 86400000';
const speedError = 'expected a number of tokens a second from 0 to 1000000; 0 is as fast as it can';
const seedError = 'expected a whole number from 0 to 4294967295';

/** What the simulator can be told in the configuration. */
export const simulatorOptionsSchema = z.strictObject({
  latencyMs: z
    .number({ error: latencyError })
    .min(0, { error: latencyError })
    .max(86_400_000, { error: latencyError })
    .default(0)
    .describe('Time before the first byte of an answer, in ms.'),
  tokensPerSecond: z
    .number({ error: speedError })
    .min(0, { error: speedError })
    .max(1_000_000, { error: speedError })
    .default(0)
    .describe('The pace of a stream; 0 is as fast as it can.'),
  faults: z
    .array(faultSchema, { error: 'expected a list of faults' })
    .default([])
    .describe('What goes wrong, and how often.'),
  seed: z
    .int({ error: seedError })
    .min(0, { error: seedError })
    .max(0xffff_ffff, { error: seedError })
    .default(0)
    .describe('Decides which requests the faults happen to: the same ones for the same seed.'),
});

/** All of it, defaults filled in. */
export type SimulatorOptions = z.output<typeof simulatorOptionsSchema>;

/** As it is written: whatever is left out has its default. */
export type SimulatorOptionsInput = z.input<typeof simulatorOptionsSchema>;
