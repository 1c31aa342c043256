import type { Command } from 'commander';
import type { CommonOptions } from './options.ts';
import { configOf, withCommonOptions } from './options.ts';
import { print } from './say.ts';

interface DoctorOptions extends CommonOptions {
  readonly json?: boolean;
}

/** `mizan doctor`: one line a check, exit 1 if any fails. */
export function registerDoctor(program: Command): void {
  withCommonOptions(program.command('doctor').description('check everything that Mizan needs'))
    .option('--json', 'print JSON')
    .action(async (options: DoctorOptions) => {
      const config = configOf(options);
      const { examine } = await import('./examination.ts');
      const findings = await examine(config, options.data);
      if (options.json === true) print(JSON.stringify(findings, null, 2));
      else for (const { check, isFine, detail } of findings) print(`${isFine ? 'ok  ' : 'FAIL'} ${check}: ${detail}`);
      if (findings.some(({ isFine }) => !isFine)) process.exitCode = 1;
    });
}
