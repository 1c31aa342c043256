import { core } from './core.ts';
import { report } from './harness.ts';
import { identity } from './identity.ts';
import { strategies } from './strategies.ts';

// node bench/micro/index.ts [part of a name]

report([...core, ...identity, ...strategies], process.argv[2]);
