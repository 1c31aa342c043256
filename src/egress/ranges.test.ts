import { BlockList } from 'node:net';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { AddressKind } from './ranges.ts';
import { blockOf, isIn, kindOfAddress } from './ranges.ts';

const kinds: Readonly<Record<AddressKind, readonly string[]>> = {
  metadata: [
    '169.254.169.254',
    '169.254.170.2',
    '100.100.100.200',
    '168.63.129.16',
    '192.0.0.192',
    'fd00:ec2::254',
    '::ffff:169.254.169.254',
    '::ffff:a9fe:a9fe',
    '64:ff9b::a9fe:a9fe',
  ],
  loopback: ['127.0.0.1', '127.255.255.255', '::1', '::ffff:127.0.0.1', '::ffff:7f00:1', '64:ff9b::7f00:1'],
  private: [
    '10.0.0.0',
    '10.255.255.255',
    '100.64.0.1',
    '100.127.255.255',
    '172.16.0.1',
    '172.31.255.255',
    '192.168.0.1',
    'fc00::1',
    'fd12:3456::1',
    '::ffff:10.0.0.1',
    '64:ff9b::10.0.0.1',
    '64:ff9b::c0a8:101',
  ],
  'link-local': ['169.254.0.1', '169.254.255.255', 'fe80::1', 'fe80::1%eth0', 'febf::1'],
  special: [
    '0.0.0.0',
    '0.255.255.255',
    '192.0.0.1',
    '192.0.2.1',
    '192.88.99.1',
    '198.18.0.1',
    '198.19.255.255',
    '198.51.100.1',
    '203.0.113.1',
    '224.0.0.1',
    '239.255.255.255',
    '240.0.0.1',
    '255.255.255.255',
    '::',
    '::2',
    '::127.0.0.1',
    '::ffff:0:0',
    '::ffff:0:10.0.0.1',
    '64:ff9b::',
    '64:ff9b:1::a00:1',
    '100::1',
    '2001::1',
    '2001:0:a00:1::',
    '2001:10::1',
    '2001:db8::1',
    '2002:7f00:1::',
    '2002:a00:1::1',
    '3fff::1',
    '5f00::1',
    'fec0::1',
    'ff02::1',
    '',
    'localhost',
    '127.1',
    '010.0.0.1',
  ],
  public: [
    '1.1.1.1',
    '9.255.255.255',
    '11.0.0.0',
    '100.63.255.255',
    '100.128.0.0',
    '126.255.255.255',
    '128.0.0.0',
    '172.15.255.255',
    '172.32.0.0',
    '192.167.255.255',
    '192.169.0.0',
    '223.255.255.255',
    '2606:4700:4700::1111',
    '2a00:1450:4001::200e',
    '::ffff:8.8.8.8',
    '64:ff9b::8.8.8.8',
    '64:ff9b::808:808',
  ],
};

test.each(Object.entries(kinds))('an address that is %s is known as that', (kind, addresses) => {
  expect(addresses.filter((address) => kindOfAddress(address) !== kind)).toEqual([]);
});

const ipv4 = fc.tuple(fc.nat(255), fc.nat(255), fc.nat(255), fc.nat(255)).map((parts) => parts.join('.'));
const hex = (address: string): string => {
  const [a = 0, b = 0, c = 0, d = 0] = address.split('.').map(Number);
  return `${(a * 256 + b).toString(16)}:${(c * 256 + d).toString(16)}`;
};

test('an IPv4 address is the same kind in whatever it is carried', () => {
  fc.assert(
    fc.property(ipv4, (address) => {
      const spellings = ['::ffff:', '64:ff9b::', '0:0:0:0:0:ffff:', '0064:ff9b:0:0:0:0:'];
      for (const spelling of spellings) {
        expect(kindOfAddress(spelling + address)).toBe(kindOfAddress(address));
        expect(kindOfAddress(spelling + hex(address))).toBe(kindOfAddress(address));
        expect(kindOfAddress(new URL(`http://[${spelling}${address}]`).hostname.slice(1, -1))).toBe(
          kindOfAddress(address),
        );
      }
    }),
  );
});

test('a range holds what Node says it holds, carried addresses included', () => {
  fc.assert(
    fc.property(ipv4, ipv4, fc.nat(32), (address, other, prefix) => {
      const list = new BlockList();
      list.addSubnet(other, prefix);
      const block = blockOf(`${other}/${prefix}`);
      expect(isIn(block, address)).toBe(list.check(address));
      expect(isIn(block, `64:ff9b::${hex(address)}`)).toBe(list.check(address));
    }),
  );
});
