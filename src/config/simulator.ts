import { z } from 'zod';

/** What the simulator can be told. Its provider knows what each fault means. */
export const simulatorOptionsSchema = z.strictObject({
  latencyMs: z.number().min(0).exactOptional().describe('Time until an answer begins, in ms.'),
  tokensPerSecond: z.number().positive().exactOptional().describe('How fast an answer is written.'),
  seed: z.int().exactOptional().describe('The same answers for the same seed.'),
  faults: z.array(z.looseObject({})).exactOptional().describe('What goes wrong, and how often.'),
});

export type SimulatorOptions = z.output<typeof simulatorOptionsSchema>;
