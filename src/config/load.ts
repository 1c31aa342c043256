import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { logLevels } from './config.ts';
import type { Config } from './config.ts';
import { ConfigError } from './problem.ts';
import { resolveConfig } from './resolve.ts';
import { fileSchema } from './schema.ts';

export { ConfigError, formatProblem } from './problem.ts';
export type { Problem } from './problem.ts';

export interface ConfigSources {
  /** `--config FILE`. */
  readonly file?: string | undefined;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Options of the command line, which win over everything else. */
  readonly cliOverrides?: CliOverrides | undefined;
  /** Where `./mizan.yaml` is looked for; the process's own folder by default. */
  readonly cwd?: string | undefined;
}

export interface CliOverrides {
  readonly host?: string | undefined;
  readonly port?: string | number | undefined;
  readonly metricsPort?: string | number | undefined;
}

/**
 * Reads the configuration: `file`, else the one that `MIZAN_CONFIG` names, else `./mizan.yaml` if there is one,
 * else defaults.
 * @throws ConfigError with every problem there is.
 */
export function loadConfig(sources: ConfigSources): Config {
  const { env, cliOverrides = {} } = sources;
  const local = join(sources.cwd ?? process.cwd(), 'mizan.yaml');
  const file = sources.file ?? env['MIZAN_CONFIG'] ?? (existsSync(local) ? 'mizan.yaml' : null);
  const raw = (file === null ? {} : parse(readFileSync(file === 'mizan.yaml' ? local : file, 'utf8'))) as Record<
    string,
    Record<string, unknown>
  >;
  const server = { ...raw['server'] };
  if (cliOverrides.host !== undefined) server['host'] = cliOverrides.host;
  if (cliOverrides.port !== undefined) server['port'] = Number(cliOverrides.port);
  if (cliOverrides.metricsPort !== undefined) server['metricsPort'] = Number(cliOverrides.metricsPort);
  const key = env['OPENROUTER_API_KEY'];
  const name = key === undefined || key === '' ? 'simulator' : 'openrouter';
  const provider = name === 'openrouter' ? { kind: name, apiKey: key } : { kind: name };
  const instance = { id: name, provider: name, model: name === 'openrouter' ? 'openrouter/auto' : 'simulator' };
  const providers = Object.entries(raw['providers'] ?? { [name]: provider });
  const read = fileSchema.safeParse({
    models: { default: { instances: [instance] } },
    agents: { assistant: { model: 'default' } },
    ...raw,
    server,
    providers: Object.fromEntries(providers.map(([id, given]) => [id, { kind: id, ...(given as object) }])),
  });
  if (!read.success) {
    throw new ConfigError(
      read.error.issues.map((issue) => ({
        source: file ?? 'defaults',
        line: null,
        column: null,
        path: issue.path.join('.'),
        message: issue.message,
      })),
    );
  }
  const level = logLevels.find((each) => each === env['LOG_LEVEL']) ?? 'info';
  return resolveConfig(read.data, { file, level, withoutEffect: [] });
}
