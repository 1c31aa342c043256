import { BlockList, isIPv4, isIPv6 } from 'node:net';

/**
 * What kind of place an address is:
 * - `public`: reachable from everywhere;
 * - `private`: of somebody's own network, shared address space of carriers and overlays included;
 * - `loopback`: this machine;
 * - `link-local`: this cable;
 * - `metadata`: where clouds hand out credentials to whoever asks;
 * - `special`: no place for a service: unspecified, multicast, reserved, documentation, transitions of old.
 */
export type AddressKind = 'public' | 'private' | 'loopback' | 'link-local' | 'metadata' | 'special';

/** Addresses that are not public; the first row that holds one decides. After IANA's special-purpose registries. */
const rows: readonly (readonly [range: string, kind: AddressKind, what: string])[] = [
  ['169.254.169.254/32', 'metadata', 'AWS, Google Cloud, Azure and others'],
  ['169.254.170.2/32', 'metadata', 'AWS ECS'],
  ['169.254.170.23/32', 'metadata', 'AWS EKS'],
  ['100.100.100.200/32', 'metadata', 'Alibaba Cloud'],
  ['168.63.129.16/32', 'metadata', 'Azure'],
  ['192.0.0.192/32', 'metadata', 'Oracle Cloud'],
  ['fd00:ec2::254/128', 'metadata', 'AWS'],
  ['fd00:ec2::23/128', 'metadata', 'AWS EKS'],
  ['fd20:ce::254/128', 'metadata', 'Google Cloud'],

  ['0.0.0.0/8', 'special', '"this network", RFC 791'],
  ['10.0.0.0/8', 'private', 'RFC 1918'],
  ['100.64.0.0/10', 'private', 'shared address space, RFC 6598'],
  ['127.0.0.0/8', 'loopback', 'RFC 1122'],
  ['169.254.0.0/16', 'link-local', 'RFC 3927'],
  ['172.16.0.0/12', 'private', 'RFC 1918'],
  ['192.0.0.0/24', 'special', 'protocol assignments, RFC 6890'],
  ['192.0.2.0/24', 'special', 'documentation, RFC 5737'],
  ['192.88.99.0/24', 'special', '6to4 relays, RFC 7526'],
  ['192.168.0.0/16', 'private', 'RFC 1918'],
  ['198.18.0.0/15', 'special', 'benchmarking, RFC 2544'],
  ['198.51.100.0/24', 'special', 'documentation, RFC 5737'],
  ['203.0.113.0/24', 'special', 'documentation, RFC 5737'],
  ['224.0.0.0/4', 'special', 'multicast, RFC 5771'],
  ['240.0.0.0/4', 'special', 'reserved, RFC 1112, with 255.255.255.255'],

  ['::1/128', 'loopback', 'RFC 4291'],
  ['64:ff9b:1::/48', 'special', 'NAT64 of a network’s own, RFC 8215'],
  ['fc00::/7', 'private', 'unique local, RFC 4193'],
  ['fe80::/10', 'link-local', 'RFC 4291'],
  ['2001::/23', 'special', 'protocol assignments with Teredo and ORCHID, RFC 2928'],
  ['2001:db8::/32', 'special', 'documentation, RFC 3849'],
  ['2002::/16', 'special', '6to4, RFC 3056'],
  ['3fff::/20', 'special', 'documentation, RFC 9637'],
];

/** All of IPv6 that is given to anyone; `::`, site-local, multicast and IPv4-compatible lie outside. RFC 4291. */
const globalUnicast = blockOf('2000::/3');

/** IPv6 addresses that lead to the IPv4 address at their end, and are what that one is. */
const carriers = [blockOf('::ffff:0:0/96'), blockOf('64:ff9b::/96')];

const table = rows.map(([range, kind]) => ({ block: blockOf(range), kind, isIPv4: !range.includes(':') }));

/** @param address IPv4 or IPv6 as resolvers write them, with or without a zone. Anything else is `special`. */
export function kindOfAddress(address: string): AddressKind {
  const bare = address.replace(/%.*$/, '');
  const isFour = isIPv4(bare);
  if (!isFour && !isIPv6(bare)) return 'special';
  if (isFour) return table.find((row) => row.isIPv4 && row.block.check(bare))?.kind ?? 'public';
  if (carriers.some((block) => block.check(bare, 'ipv6'))) return kindOfAddress(carriedBy(bare));
  const row = table.find(({ isIPv4: ofFour, block }) => !ofFour && block.check(bare, 'ipv6'));
  return row?.kind ?? (globalUnicast.check(bare, 'ipv6') ? 'public' : 'special');
}

/** Whether `address` lies in `block`; one in IPv6 that carries an IPv4 address is that address. */
export function isIn(block: BlockList, address: string): boolean {
  const bare = address.replace(/%.*$/, '');
  if (isIPv4(bare)) return block.check(bare);
  if (!isIPv6(bare)) return false;
  if (carriers.some((carrier) => carrier.check(bare, 'ipv6'))) return block.check(carriedBy(bare));
  return block.check(bare, 'ipv6');
}

/** @param range `10.0.0.0/8`, or one address. */
export function blockOf(range: string): BlockList {
  const [address = '', prefix] = range.split('/');
  const family = address.includes(':') ? 'ipv6' : 'ipv4';
  const block = new BlockList();
  block.addSubnet(address, Number(prefix ?? (family === 'ipv6' ? 128 : 32)), family);
  return block;
}

/** The last 32 bits of an IPv6 address as an IPv4 address. */
function carriedBy(address: string): string {
  const dotted = /(?<=:)\d+\.\d+\.\d+\.\d+$/.exec(address)?.[0];
  if (dotted !== undefined) return dotted;
  // What follows "::" is whole; where it ends with "::", the end is zeros.
  const groups = address.endsWith('::') ? ['0', '0'] : address.split(':').slice(-2);
  const [high = 0, low = 0] = groups.map((group) => Number.parseInt(group === '' ? '0' : group, 16));
  return [high >> 8, high & 255, low >> 8, low & 255].join('.');
}
