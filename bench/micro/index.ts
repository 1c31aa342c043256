import { core } from './core.ts';
import { report } from './harness.ts';
import { identity } from './identity.ts';
import { limits } from './limits.ts';
import { strategies } from './strategies.ts';

// node bench/micro/index.ts [part of a name]

report([...core, ...identity, ...limits, ...strategies], process.argv[2]);
