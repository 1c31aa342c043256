import type { Command } from 'commander';
import type { CommonOptions } from './options.ts';
import { configOf, wholeNumber, withCommonOptions } from './options.ts';
import { print } from './say.ts';

interface DoctorOptions extends CommonOptions {
  readonly host?: string;
  readonly port?: number;
  readonly metricsPort?: number;
  readonly json?: boolean;
}

/** `mizan doctor`: one line a check, exit 1 if any fails. */
export function registerDoctor(program: Command): void {
  withCommonOptions(program.command('doctor').description('check everything that Mizan needs'))
    .option('--host <address>', 'what mizan start was given, or is to be; default: as configured')
    .option('--port <n>', 'likewise', wholeNumber(0, 65_535))
    .option('--metrics-port <n>', 'likewise', wholeNumber(0, 65_535))
    .option('--json', 'print JSON')
    .action(async (options: DoctorOptions) => {
      const { host, port, metricsPort } = options;
      const config = configOf(options, { host, port, metricsPort });
      const { examine } = await import('./examination.ts');
      const findings = await examine(config, options.data);
      if (options.json === true) print(JSON.stringify(findings, null, 2));
      else for (const { check, isFine, detail } of findings) print(`${isFine ? 'ok  ' : 'FAIL'} ${check}: ${detail}`);
      if (findings.some(({ isFine }) => !isFine)) process.exitCode = 1;
    });
}
