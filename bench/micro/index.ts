import { core } from './core.ts';
import { report } from './harness.ts';

// node bench/micro/index.ts [part of a name]

report(core, process.argv[2]);
