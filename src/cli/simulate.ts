import type { Command } from 'commander';
import { MizanError, SetupError } from '../core/errors.ts';
import type { Fault } from '../providers/simulator/faults.ts';
import type { SimulatorServer } from '../providers/simulator/server.ts';
import type { CommonOptions } from './options.ts';
import { wholeNumber, withCommonOptions } from './options.ts';
import { say } from './say.ts';

interface SimulateOptions extends CommonOptions {
  readonly host: string;
  readonly port: number;
  readonly latency: number;
  readonly tokensPerSecond: number;
  readonly seed: number;
  readonly fault: readonly string[];
}

/** `mizan simulate`: the simulator as an OpenAI-compatible server of its own, until SIGINT or SIGTERM. */
export function registerSimulate(program: Command): void {
  withCommonOptions(program.command('simulate').description('a fake model service that speaks OpenAI’s dialect'))
    .option('--port <n>', 'where to listen; 0 takes any free one', wholeNumber(0, 65_535), 8001)
    .option('--host <address>', 'where to listen; default: this machine only', '127.0.0.1')
    .option('--latency <ms>', 'time before the first byte of an answer', wholeNumber(0, 86_400_000), 0)
    .option('--tokens-per-second <n>', 'the pace of streams; 0 is as fast as it can', wholeNumber(0, 1_000_000), 0)
    .option('--seed <n>', 'the same requests meet the same faults for the same seed', wholeNumber(0, 0xffff_ffff), 0)
    .option('--fault <spec>', 'what goes wrong, such as "cut; after=3; rate=0.5"; may be repeated', collect, [])
    .action(simulate);
}

function collect(spec: string, before: readonly string[]): string[] {
  return [...before, spec];
}

async function simulate(options: SimulateOptions): Promise<void> {
  const { host, port, latency: latencyMs, tokensPerSecond, seed } = options;
  const { parseFaults } = await import('../providers/simulator/faults.ts');
  const { startSimulator } = await import('../providers/simulator/server.ts');
  const faults = faultsOf(options.fault, parseFaults);
  const simulator = await startSimulator({ host, port, options: { latencyMs, tokensPerSecond, seed, faults } });
  say(`The simulator listens on ${simulator.url}/v1`);
  const local = simulator.url.replace('0.0.0.0', '127.0.0.1').replace('[::]', '[::1]');
  const body = '{"model": "simulator", "messages": [{"role": "user", "content": "Say hello"}]}';
  say(`curl ${local}/v1/chat/completions -H "Content-Type: application/json" -d '${body}'`);
  endOnSignal(simulator);
}

function faultsOf(specs: readonly string[], parse: (text: string) => Fault[]): Fault[] {
  try {
    return specs.flatMap(parse);
  } catch (error) {
    if (error instanceof MizanError) throw new SetupError(`--fault: ${error.message}`);
    throw error;
  }
}

function endOnSignal(simulator: SimulatorServer): void {
  const end = (): void => {
    process.off('SIGTERM', end).off('SIGINT', end);
    simulator.close().then(
      () => process.exit(0),
      () => process.exit(1),
    );
  };
  process.on('SIGTERM', end).on('SIGINT', end);
}
