import type { Command } from 'commander';
import type { Role } from '../core/principal.ts';
import type { CommonOptions } from './options.ts';
import { configOf, duration, name, names, role, withCommonOptions } from './options.ts';
import { print, say } from './say.ts';

interface TokenOptions extends CommonOptions {
  readonly sub: string;
  readonly tenant: string;
  readonly role: Role;
  readonly agents?: string[];
  readonly ttl: number;
}

/** `mizan token create` */
export function registerToken(program: Command): void {
  const token = program.command('token').description('tokens (JWT) that say who is asking');
  withCommonOptions(token.command('create').description('print a new token on stdout, and nothing else'))
    .option('--sub <name>', 'whom it names', name, 'cli')
    .option('--tenant <name>', 'whose data it reaches', name, 'default')
    .option('--role <role>', 'admin, operator, member or viewer', role, 'member')
    .option('--agents <a,b>', 'only these agents; default: all, and models directly', names)
    .option('--ttl <time>', 'how long it is good: 90s, 15m, 1h, 30d', duration, 3600)
    .action(async (options: TokenOptions) => {
      const { createTokens } = await import('../security/create-tokens.ts');
      const config = configOf(options);
      for (const agent of options.agents ?? []) {
        if (!(agent in config.agents)) say(`Note: there is no agent "${agent}" in the configuration.`);
      }
      const { sub, tenant, ttl, agents = null } = options;
      const grant = { subject: sub, tenant, role: options.role, agents, ttl };
      print(await createTokens(config, options.data).sign(grant, Date.now()));
    });
}
