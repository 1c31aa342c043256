import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['src/**/*.test.ts', 'test/**/*.test.ts', 'bench/**/*.test.ts'],
    pool: 'forks',
    // Most of these tests wait: for processes, connections, timers. One worker per core, also where there are only two.
    maxWorkers: availableParallelism(),
    testTimeout: 20_000,
    // The first run on a machine may have to install a server.
    hookTimeout: 300_000,
  },
});
