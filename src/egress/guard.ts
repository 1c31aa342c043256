import { lookup as systemLookup } from 'node:dns';
import type { LookupAddress, LookupOptions } from 'node:dns';
import type { LookupFunction, OnReadOpts } from 'node:net';
import { isIP } from 'node:net';
import type { buildConnector } from 'undici';
import undiciConnector from 'undici/lib/core/connect.js';
import type { EgressRules, NamedBy } from './rules.ts';
import { egressRules, plainHost } from './rules.ts';

/** A connection that the guard refused. The message names host and address: it is for the log. */
class ForbiddenAddress extends Error {
  override readonly name = 'ForbiddenAddress';
  readonly code = 'ERR_FORBIDDEN_ADDRESS';
}

/** As `dns.lookup` with `all: true`. */
export type Resolve = (
  host: string,
  options: LookupOptions & { readonly all: true },
  done: (error: NodeJS.ErrnoException | null, addresses: LookupAddress[]) => void,
) => void;

export interface GuardedPlace {
  /** Scheme, host and port: `https://openrouter.ai`. The connector goes nowhere else. */
  readonly origin: string;
  readonly namedBy: NamedBy;
  /** No connection takes longer to be made, in ms. */
  readonly timeoutMs: number;
  /** How its sockets are read, where not as streams. */
  readonly onread?: OnReadOpts;
}

/**
 * The one place through which connections go out. Addresses are looked at when a connection is made, and the
 * connection is made to what was looked at, so that a name that changes in between changes nothing. A connection that
 * is kept costs nothing more.
 */
export class EgressGuard {
  readonly #rules: EgressRules;
  readonly #resolve: Resolve;

  constructor(rules: EgressRules = egressRules([]), resolve: Resolve = systemLookup) {
    this.#rules = rules;
    this.#resolve = resolve;
  }

  /** For undici's `connect`. */
  connector({ origin, namedBy, timeoutMs, onread }: GuardedPlace): buildConnector.connector {
    const bound = new URL(origin);
    const lookup = this.#lookup(namedBy);
    const connect = undiciConnector({
      timeout: timeoutMs,
      allowH2: false,
      lookup,
      ...(onread === undefined ? {} : { onread }),
    });
    return (options, callback) => {
      const host = plainHost(options.hostname);
      const refusal = this.#refusalOf(bound, options) ?? this.#literalRefusal(host, namedBy);
      if (refusal !== null) {
        process.nextTick(() => callback(new ForbiddenAddress(refusal), null));
        return;
      }
      connect(options, (...[error, socket]) => {
        if (error !== null) {
          callback(error, null);
          return;
        }
        // A socket without a peer is broken already, which is for others to notice.
        const peer = socket.remoteAddress;
        const refused = peer === undefined ? null : this.#rules.refusal(host, peer, namedBy);
        if (refused === null) {
          callback(null, socket);
          return;
        }
        socket.destroy();
        callback(new ForbiddenAddress(refused), null);
      });
    };
  }

  /** A key goes out on these connections: they lead to its own origin and to no other. */
  #refusalOf(bound: URL, options: buildConnector.Options): string | null {
    const isBound =
      plainHost(options.hostname) === plainHost(bound.hostname) &&
      options.protocol === bound.protocol &&
      (options.port || portOf(bound)) === portOf(bound);
    return isBound ? null : `${options.protocol}//${options.hostname}:${options.port} is not ${bound.origin}`;
  }

  #literalRefusal(host: string, namedBy: NamedBy): string | null {
    return isIP(host) === 0 ? null : this.#rules.refusal(host, host, namedBy);
  }

  /** One bad answer among several refuses them all: whoever sends such a mixture is up to something. */
  #lookup(namedBy: NamedBy): LookupFunction {
    return (host, options, done) => {
      this.#resolve(host, { ...options, all: true }, (error, addresses) => {
        const [first] = addresses ?? [];
        if (error !== null || first === undefined) {
          done(error ?? notFound(host), '');
          return;
        }
        const refusal = addresses
          .map(({ address }) => this.#rules.refusal(host, address, namedBy))
          .find((reason) => reason !== null);
        if (refusal !== undefined) done(new ForbiddenAddress(refusal), '');
        else if (options.all === true) done(null, addresses);
        else done(null, first.address, first.family);
      });
    };
  }
}

function portOf(url: URL): string {
  return url.port || (url.protocol === 'https:' ? '443' : '80');
}

function notFound(host: string): NodeJS.ErrnoException {
  return Object.assign(new Error(`${host} has no address`), { code: 'ENOTFOUND' });
}
