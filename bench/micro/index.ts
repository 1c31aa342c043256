import { core } from './core.ts';
import { report } from './harness.ts';
import { strategies } from './strategies.ts';

// node bench/micro/index.ts [part of a name]

report([...core, ...strategies], process.argv[2]);
