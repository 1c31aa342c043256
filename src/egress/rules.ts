import type { BlockList } from 'node:net';
import { isIP } from 'node:net';
import type { AddressKind } from './ranges.ts';
import { blockOf, isIn, kindOfAddress } from './ranges.ts';

/**
 * Whose word a host stands on: the operator's, who wrote it into the configuration, or that of anyone else. Only the
 * operator's reaches anything that is not public. `listed` is the operator's, too, where naming a host is not enough:
 * `allow` has to have it.
 */
export type NamedBy = 'config' | 'listed' | 'caller';

export interface EgressRules {
  /** Whether a connection to `host` may be made to `address`; why not, in words for the log. */
  refusal(host: string, address: string, namedBy: NamedBy): string | null;
}

/** Names that no registry gives away, so that only the operator's own network can answer for them. */
const localName = /^[^.]+$|\.(?:internal|local|lan|home|corp|intranet|home\.arpa)$/;

const loopbackName = /(?:^|\.)localhost$/;

/** WHATWG URL: a name whose last label is a number is an IPv4 address, however odd. */
const oddAddress = /(?:^|\.)(?:\d+|0x[0-9a-f]*)$/;

/** What an operator's own word reaches besides the public, by what it names. */
const reach = {
  address: ['private', 'loopback'],
  loopbackName: ['loopback'],
  localName: ['private', 'loopback'],
  publicName: [],
  allowed: ['private', 'loopback'],
} as const satisfies Record<string, readonly AddressKind[]>;

const words: Readonly<Record<AddressKind, string>> = {
  public: 'a public',
  private: 'a private',
  loopback: 'a loopback',
  'link-local': 'a link-local',
  metadata: "a cloud's metadata",
  special: 'a special-purpose',
};

/** Lower case, without the brackets of IPv6 and the dot of the root. */
export function plainHost(host: string): string {
  return host
    .toLowerCase()
    .replace(/^\[(.*)\]$/, '$1')
    .replace(/\.+$/, '');
}

/** One entry of `egress.allow`: an address, a range, a host, or all hosts below a domain. */
export function isAllowEntry(entry: string): boolean {
  const [address = '', prefix, rest] = entry.split('/');
  const family = isIP(address);
  if (family !== 0 && !address.includes('%')) {
    const bits = Number(prefix ?? 0);
    return (
      rest === undefined && (prefix === undefined || (/^\d{1,3}$/.test(prefix) && bits <= (family === 4 ? 32 : 128)))
    );
  }
  const name = plainHost(entry).replace(/^\*\./, '');
  return (
    /^(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*$/.test(name) &&
    !oddAddress.test(name)
  );
}

/**
 * What may be connected to. Public addresses always; a private or loopback one where the operator named that very
 * address, or a name that only the operator's network can answer for; anything else only where `allow` has it. A
 * metadata service needs an entry of its own address: no range and no name includes it.
 * @param allow Entries for which `isAllowEntry` holds.
 */
export function egressRules(allow: readonly string[]): EgressRules {
  const entries = allow.map(plainHost);
  const isRange = (entry: string): boolean => isIP(entry.split('/')[0] ?? '') !== 0;
  const ranges = entries.filter(isRange).map((entry) => ({ block: blockOf(entry), isOne: isOneAddress(entry) }));
  const hosts = entries.filter((entry) => !isRange(entry));

  return {
    refusal(given, address, namedBy) {
      const kind = kindOfAddress(address);
      const host = plainHost(given);
      if (isIP(host) === 0 && oddAddress.test(host)) return `${host} is an odd way to write an address`;
      if (kind === 'public' && !(namedBy === 'config' && loopbackName.test(host))) return null;
      if (namedBy !== 'caller') {
        if (isInRanges(ranges, address, kind)) return null;
        const reached: readonly AddressKind[] = namedBy === 'config' ? reachOf(host, hosts) : listedReach(host, hosts);
        if (reached.includes(kind)) return null;
      }
      return `${host === address ? host : `${host} leads to ${address}, which`} is ${words[kind]} address`;
    },
  };
}

function isInRanges(
  ranges: readonly { readonly block: BlockList; readonly isOne: boolean }[],
  address: string,
  kind: AddressKind,
): boolean {
  return ranges.some(({ block, isOne }) => (kind !== 'metadata' || isOne) && isIn(block, address));
}

function isOneAddress(entry: string): boolean {
  const [address = '', prefix] = entry.split('/');
  return prefix === undefined || Number(prefix) === (isIP(address) === 4 ? 32 : 128);
}

function isListed(host: string, allowed: readonly string[]): boolean {
  return allowed.some((entry) => (entry.startsWith('*.') ? host.endsWith(entry.slice(1)) : host === entry));
}

function listedReach(host: string, allowed: readonly string[]): readonly AddressKind[] {
  return isIP(host) === 0 && isListed(host, allowed) ? reach.allowed : [];
}

function reachOf(host: string, allowed: readonly string[]): readonly AddressKind[] {
  if (isIP(host) !== 0) return reach.address;
  if (isListed(host, allowed)) return reach.allowed;
  if (loopbackName.test(host)) return reach.loopbackName;
  return localName.test(host) ? reach.localName : reach.publicName;
}

/**
 * What is wrong with the host of a URL that stands in the configuration, before anything is looked up: an address in
 * an odd notation, or one that would be refused. `null` for names, and for what may be.
 */
export function literalProblem(url: string, rules: EgressRules, namedBy: NamedBy = 'config'): string | null {
  const host = plainHost(new URL(url).hostname);
  if (isIP(host) === 0) return null;
  const written = plainHost(/^[a-z]+:[/\\]*([^/\\?#]*?)(?::\d*)?(?:[/\\?#]|$)/i.exec(url)?.[1] ?? '');
  if (isIP(written) === 0) return `an address in an odd notation: write ${host}`;
  const refusal = rules.refusal(host, host, namedBy);
  return refusal === null ? null : `${refusal}; if it is meant, list it in egress.allow`;
}
