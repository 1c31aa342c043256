import type { Command } from 'commander';
import { name, withCommonOptions } from '../options.ts';
import type { RehearseOptions } from './rehearsal.ts';

/** `mizan rehearse` */
export function registerRehearse(program: Command): void {
  withCommonOptions(program.command('rehearse').description('your config against simulated instances that fail'))
    .argument('[scenario]', 'one that comes with Mizan, or a file; without it, they are listed')
    .option('--model <id>', "the model that is called; default: the default agent's", name)
    .option('--json', 'print JSON')
    .action(async (scenario: string | undefined, options: RehearseOptions) => {
      const { rehearse } = await import('./rehearsal.ts');
      await rehearse(scenario, options);
    });
}
