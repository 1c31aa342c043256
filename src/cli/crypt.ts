import { readFileSync } from 'node:fs';
import { isUtf8 } from 'node:buffer';
import type { Command } from 'commander';
import { SetupError } from '../core/errors.ts';
import type { AISecurity } from '../security/ai-security.ts';
import type { MessageJwk } from '../security/message-key.ts';
import type { CommonOptions } from './options.ts';
import { tenant, withCommonOptions } from './options.ts';
import { input, sayError } from './say.ts';
import { withVault } from './vault.ts';

interface CryptOptions extends CommonOptions {
  readonly context?: string;
  readonly key?: string;
  readonly tenant: string;
}

/** `mizan encrypt` and `mizan decrypt`: stdin → stdout. */
export function registerCrypt(program: Command): void {
  withKeyOptions(program.command('encrypt').description('what comes on stdin as JWE on stdout')).action(
    (options: CryptOptions) =>
      crypt(options, async (security, given) => {
        const data = isUtf8(given) ? given.toString() : new Uint8Array(given);
        return `${await security.encryptData(data, contextOf(options))}\n`;
      }),
  );
  withKeyOptions(program.command('decrypt').description('the JWE that comes on stdin as what was encrypted')).action(
    (options: CryptOptions) =>
      crypt(options, async (security, given) => {
        const data = await security.decryptData(given.toString('latin1').trim(), contextOf(options));
        if (typeof data === 'string' || data instanceof Uint8Array) return data;
        return `${JSON.stringify(data)}\n`;
      }),
  );
}

function withKeyOptions(command: Command): Command {
  return withCommonOptions(command)
    .option('--context <text>', 'what it is for; it decrypts with the same only')
    .option('--key <file>', "a JWK, or a JWK Set whose first key encrypts; default: the tenant's own key")
    .option('--tenant <name>', 'whose key, without --key', tenant, 'default')
    .addHelpText('after', '\nExit codes: 0 done, 1 it can not be decrypted, 2 wrong usage or configuration.');
}

async function crypt(
  options: CryptOptions,
  work: (security: AISecurity, given: Buffer) => Promise<string | Uint8Array>,
): Promise<void> {
  const given = await input();
  try {
    const { AISecurity: Security } = await import('../security/ai-security.ts');
    if (options.key !== undefined) {
      process.stdout.write(await work(new Security({ keys: keysIn(options.key) }), given));
      return;
    }
    await withVault(options, async (vault) => {
      const { Messages } = await import('../security/messages.ts');
      const keyRing = new Messages(vault).ringOf(options.tenant);
      process.stdout.write(await work(new Security({ keyRing }), given));
    });
  } catch (error) {
    sayError(error);
  }
}

function contextOf({ context }: CryptOptions): { readonly context?: string } {
  return context === undefined ? {} : { context };
}

function keysIn(file: string): MessageJwk[] {
  try {
    const jwk = JSON.parse(readFileSync(file, 'utf8')) as MessageJwk & { readonly keys?: MessageJwk[] };
    return Array.isArray(jwk.keys) ? jwk.keys : [jwk];
  } catch (error) {
    // JSON.parse would show what it read.
    throw new SetupError(`The key ${file} can't be read`, error instanceof SyntaxError ? 'it is not JSON' : error);
  }
}
