import type { Command } from 'commander';
import type { Role } from '../core/principal.ts';
import type { Priority } from '../core/priority.ts';
import { byOperator } from '../core/audit.ts';
import { SetupError } from '../core/errors.ts';
import { everyTenant } from '../core/request-record.ts';
import type { Revocation } from '../core/revocation.ts';
import { publicRevocation } from '../core/revocation.ts';
import type { TokenGrant } from '../security/tokens.ts';
import type { CommonOptions } from './options.ts';
import { configOf, duration, name, names, priority, role, tenant, withCommonOptions } from './options.ts';
import { print, say, table } from './say.ts';
import { placeOf, withStore } from './with-store.ts';

interface TokenOptions extends CommonOptions {
  readonly sub: string;
  readonly tenant: string;
  readonly anyTenant?: boolean;
  readonly role: Role;
  readonly agents?: string[];
  readonly models?: string[];
  readonly ttl: number;
  readonly priority?: Priority;
}

interface RevokeOptions extends CommonOptions {
  readonly jti?: string;
  readonly sub?: string;
  readonly tenant?: string;
}

/** `mizan token create|revoke|revocations` */
export function registerToken(program: Command): void {
  const token = program.command('token').description('tokens (JWT) that say who is asking');

  withCommonOptions(token.command('create').description('print a new token on stdout, and nothing else'))
    .option('--sub <name>', 'whom it names', name, 'cli')
    .option('--tenant <name>', 'whose data it reaches', tenant, 'default')
    .option('--any-tenant', 'its role reaches every tenant: for those who run this Mizan')
    .option('--role <role>', 'admin, operator, member or viewer', role, 'member')
    .option('--agents <a,b>', 'only these agents; default: all, and models directly', names)
    .option('--models <a,b>', 'only these models directly; default: all, or none where agents are named', names)
    .option('--ttl <time>', 'how long it is good: 90s, 15m, 1h, 30d', duration, 3600)
    .option('--priority <class>', 'its requests: low, normal or high; default: normal', priority)
    .action(create);

  withCommonOptions(token.command('revoke').description('take tokens back; without --jti and --sub, the one on stdin'))
    .option('--jti <id>', 'the token with this jti')
    .option('--sub <name>', 'all tokens that this subject has until now', name)
    .option('--tenant <name>', "only this tenant's; default: of all", tenant)
    .action(revoke);

  withCommonOptions(token.command('revocations').description('what was taken back, newest first'))
    .option('--json', 'print JSON')
    .action(async (options: CommonOptions & { readonly json?: boolean }) => {
      const all = await withStore(placeOf(options), ({ revocations }) => revocations.list(everyTenant, Date.now()));
      if (options.json === true) {
        print(JSON.stringify(all.map(publicRevocation), null, 2));
        return;
      }
      const rows = all.map(({ kind, value, tenant: of, revokedAt, expiresAt }) => [
        kind,
        value,
        of ?? '*',
        new Date(revokedAt).toISOString(),
        expiresAt === null ? '-' : new Date(expiresAt).toISOString(),
      ]);
      print(table(['KIND', 'VALUE', 'TENANT', 'REVOKED', 'EXPIRES'], rows));
    });
}

async function create(options: TokenOptions): Promise<void> {
  const { createTokens } = await import('../security/create-tokens.ts');
  const config = configOf(options);
  for (const agent of options.agents ?? []) {
    if (!(agent in config.agents)) say(`Note: there is no agent "${agent}" in the configuration.`);
  }
  const { sub, tenant: of, ttl, agents = null, models = null } = options;
  const scope = options.anyTenant === true ? 'any' : 'own';
  const { priority: given } = options;
  const grant = { subject: sub, tenant: of, role: options.role, agents, models, scope, ttl, priority: given } as const;
  const token = await createTokens(config, options.data).sign(grant, Date.now());
  await record(token, grant, options.data);
  print(token);
}

/** Whoever has the secret can make a token without this command: what can't be recorded is said, and made all the same. */
async function record(token: string, grant: TokenGrant, folder: string): Promise<void> {
  const { decodeJwt } = await import('jose');
  const { jti, exp = 0 } = decodeJwt(token);
  const { subject, tenant: of, role: given, agents, models = null, scope, priority: klass = 'normal' } = grant;
  const after = {
    jti,
    sub: subject,
    tenant: of,
    any_tenant: scope === 'any',
    role: given,
    agents,
    models,
    priority: klass,
    expires_at: new Date(exp * 1000).toISOString(),
  };
  const event = byOperator({ action: 'token.create', tenant: of, target: `jti:${jti}`, after });
  try {
    const { noteInAudit } = await import('../store/sqlite/audit-note.ts');
    // The audit log is each data folder's own, whatever the database.
    if (!noteInAudit(folder, event)) await withStore({ folder, url: null }, ({ audit }) => audit.record(event));
  } catch (error) {
    say(`The audit log could not be written: ${error instanceof Error ? error.message : String(error)}`);
  }
}

async function revoke(options: RevokeOptions): Promise<void> {
  const { jti, sub, tenant: of = null } = options;
  if (jti !== undefined && sub !== undefined) throw new SetupError('Give --jti or --sub, not both.');
  const facts = { tenant: of, scope: 'any', revokedAt: Date.now() } as const;
  const made: Revocation =
    jti === undefined && sub === undefined
      ? { ...(await fromStdin()), ...facts }
      : { kind: jti === undefined ? 'sub' : 'jti', value: jti ?? sub ?? '', ...facts, expiresAt: null };
  await withStore(placeOf(options), ({ revocations, audit }) => {
    revocations.add(made);
    const whom = { tenant: of ?? 'system', target: `${made.kind}:${made.value}` };
    audit.record(byOperator({ action: 'token.revoke', ...whom, after: publicRevocation(made) }));
  });
  const whose = of === null ? 'every tenant' : `the tenant ${of}`;
  say(
    made.kind === 'jti'
      ? `The token ${made.value} is revoked.`
      : `All tokens that ${made.value} of ${whose} has until now, to the second, are revoked.`,
  );
}

/** Whoever can run this needn't prove the token: to take one back that isn't good does no harm. */
async function fromStdin(): Promise<Pick<Revocation, 'kind' | 'value' | 'expiresAt'>> {
  const { decodeJwt } = await import('jose');
  let text = '';
  for await (const piece of process.stdin.setEncoding('utf8')) text += String(piece);
  let claims: { readonly jti?: unknown; readonly exp?: unknown };
  try {
    claims = decodeJwt(text.trim());
  } catch (error) {
    throw new SetupError('There is no token on stdin; give --jti or --sub', error);
  }
  const { jti, exp } = claims;
  if (typeof jti !== 'string' || jti === '') throw new SetupError('The token has no jti; give --sub.');
  // A minute more than clocks may differ.
  return { kind: 'jti', value: jti, expiresAt: typeof exp === 'number' ? Math.ceil(exp + 60) * 1000 : null };
}
