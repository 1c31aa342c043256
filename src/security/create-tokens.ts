import type { Secret } from '../core/secret.ts';
import { secretFile } from './secret-file.ts';
import { Tokens } from './tokens.ts';

interface TokenSettings {
  readonly auth: {
    readonly jwt: { readonly secret: Secret<string> | null; readonly issuer: string; readonly audience: string };
  };
}

/**
 * Signs and verifies with the config's secret, or with the one kept in the data folder. Apart from the server, so that
 * a command that signs a token loads nothing else.
 */
export function createTokens(config: TokenSettings, dataFolder: string): Tokens {
  const { secret, issuer, audience } = config.auth.jwt;
  return new Tokens({ secret: secret ?? secretFile(dataFolder, 'jwt.secret'), issuer, audience });
}
