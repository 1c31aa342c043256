import type { Command } from 'commander';
import type { Config } from '../config/config.ts';
import { configJsonSchema } from '../config/json-schema.ts';
import type { CommonOptions } from './options.ts';
import { configOf, withCommonOptions } from './options.ts';
import { print, say } from './say.ts';

/** `mizan config check` and `mizan config schema`. */
export function registerConfig(program: Command): void {
  const config = program.command('config').description('check the configuration, or describe it');
  // Every problem is a line of the ConfigError, which ends the command with exit code 2.
  withCommonOptions(config.command('check').description('say everything that is wrong with it, with line and column'))
    .action((options: CommonOptions) => summarize(configOf(options)))
    .addHelpText('after', '\nExit codes: 0 it is valid, 2 it is not.');
  withCommonOptions(config.command('schema').description('print the JSON Schema of mizan.yaml, for editors')).action(
    () => print(JSON.stringify(configJsonSchema(), null, 2)),
  );
}

function summarize(config: Config): void {
  say(config.file === null ? 'There is no mizan.yaml; the defaults are valid' : `${config.file} is valid`);
  for (const section of ['providers', 'models', 'agents'] as const) {
    say(`  ${section}: ${Object.keys(config[section]).join(', ') || 'none'}`);
  }
  say(`  default agent: ${config.defaultAgent ?? 'none'}`);
  for (const note of config.notes) say(`  ${note}`);
}
