import { describe, expect, test } from 'vitest';
import { egressRules, isAllowEntry, literalProblem } from './rules.ts';

const none = egressRules([]);

/** The operator's and everybody's word on each of these leads nowhere. */
describe('by default, no connection is made', () => {
  const literals = [
    'http://169.254.169.254/latest/meta-data',
    'http://[::ffff:169.254.169.254]/',
    'http://[fd00:ec2::254]/',
    'http://100.100.100.200/',
    'http://168.63.129.16/',
    'http://0.0.0.0:8000',
    'http://[::]:8000',
    'http://255.255.255.255/',
    'http://224.0.0.1/',
    'http://240.0.0.1/',
    'http://198.18.0.1/',
    'http://192.0.2.1/',
    'http://[::127.0.0.1]/',
    'http://[64:ff9b:1::7f00:1]/',
    'http://[2002:7f00:1::]/',
    'http://[2001:0:7f00:1::]/',
    'http://[fe80::1]/',
    'http://[fec0::1]/',
    'http://[ff02::1]/',
  ];

  test.each(literals)('to %s, whoever names it', (url) => {
    const host = new URL(url).hostname;
    expect(none.refusal(host, host.replace(/^\[|\]$/g, ''), 'config')).toMatch(/address$/);
    expect(none.refusal(host, host.replace(/^\[|\]$/g, ''), 'caller')).toMatch(/address$/);
    expect(literalProblem(url, none)).toContain('egress.allow');
  });

  const odd = [
    'http://2130706433/',
    'http://0x7f.1/',
    'http://0x7f000001/',
    'http://0177.0.0.1/',
    'http://127.1/',
    'http://127.0.1/',
    'http://%31%32%37.0.0.1/',
    'http://１２７.0.0.1/',
    'http://127。0。0。1/',
    'http:127.1/',
    'http:\\\\127.1/',
    'http://017700000001/',
    'http://3232235777/',
  ];

  test.each(odd)('to %s, which is an odd way to write an address', (url) => {
    expect(literalProblem(url, none)).toMatch(/^an address in an odd notation: write \d/);
    const host = new URL(url).hostname;
    expect(none.refusal(host, host, 'caller')).toMatch(/address$/);
  });

  test.each(['127.1', '2130706433', '0x7f.1', '0177.0.0.1', 'x.127', '127.1..'])(
    'to the name "%s", were a resolver to take it',
    (host) => {
      expect(none.refusal(host, '8.8.8.8', 'config')).toMatch(/odd/);
      expect(none.refusal(host, '8.8.8.8', 'caller')).toMatch(/odd/);
    },
  );

  const rebound = [
    ['api.example.com', '127.0.0.1'],
    ['api.example.com', '10.0.0.1'],
    ['api.example.com', '::1'],
    ['api.example.com', '::ffff:127.0.0.1'],
    ['api.example.com', '64:ff9b::a00:1'],
    ['api.example.com', '100.64.0.1'],
    ['API.EXAMPLE.COM.', '192.168.1.1'],
    ['127.0.0.1.nip.io', '127.0.0.1'],
    ['internal.example.com', '10.0.0.1'],
    ['localhost.example.com', '127.0.0.1'],
    ['metadata.google.internal', '169.254.169.254'],
    ['localhost', '10.0.0.1'],
    ['localhost.', '8.8.8.8'],
    ['ollama', '169.254.1.1'],
    ['ollama', '0.0.0.0'],
    ['ollama', 'fe80::1%eth0'],
  ] as const;

  test.each(rebound)('to %s where it leads to %s', (host, address) => {
    expect(none.refusal(host, address, 'config')).toContain(`leads to ${address}`);
  });

  const unnamed = [
    '127.0.0.1',
    'localhost',
    'localhost.',
    'ollama',
    'redis',
    'host.docker.internal',
    '10.0.0.1',
    '::1',
  ];

  test.each(unnamed)('to %s on the word of a caller', (host) => {
    expect(none.refusal(host, host.includes(':') || /^\d/.test(host) ? host : '127.0.0.1', 'caller')).not.toBe(null);
  });
});

describe('what the operator names is reached', () => {
  const reached = [
    ['api.openai.com', '104.18.6.192'],
    ['api.openai.com.', '2606:4700::6810:1'],
    ['ipv6-only.example.com', '64:ff9b::6812:6c0'],
    ['127.0.0.1', '127.0.0.1'],
    ['[::1]', '::1'],
    ['10.1.2.3', '10.1.2.3'],
    ['[fd12::1]', 'fd12::1'],
    ['100.64.1.1', '100.64.1.1'],
    ['localhost', '127.0.0.1'],
    ['LOCALHOST.', '::1'],
    ['models.localhost', '127.0.0.1'],
    ['ollama', '172.18.0.3'],
    ['ollama', '127.0.0.1'],
    ['my_service', '10.0.0.2'],
    ['host.docker.internal', '192.168.65.254'],
    ['ollama.default.svc.cluster.local', '10.96.0.12'],
    ['nas.lan', '192.168.1.7'],
    ['box.home.arpa', '192.168.1.8'],
  ] as const;

  test.each(reached)('%s at %s', (host, address) => {
    expect(none.refusal(host, address, 'config')).toBe(null);
  });

  test.each([
    'https://openrouter.ai/api/v1',
    'http://127.0.0.1:11434/v1',
    'HTTP://127.0.0.1:11434',
    'http://[::1]:8000/v1',
    'http://[0:0:0:0:0:0:0:1]/',
    'http://10.0.0.7/v1',
    'http://ollama:11434',
    'http://localhost:1234/v1',
  ])('%s may stand in the configuration', (url) => {
    expect(literalProblem(url, none)).toBe(null);
  });
});

describe('an entry of egress.allow', () => {
  const rules = egressRules([
    '10.0.0.0/8',
    'fd00::/8',
    '169.254.169.0/24',
    'LLM.corp.example.com.',
    '*.ts.net',
    '198.18.0.1',
  ]);

  test.each([
    ['api.example.com', '10.0.0.1'],
    ['api.example.com', '::ffff:10.0.0.1'],
    ['api.example.com', 'fd00::1'],
    ['llm.corp.example.com', '192.168.3.4'],
    ['gpu.tail1234.ts.net', '100.101.102.103'],
    ['169.254.169.1', '169.254.169.1'],
    ['198.18.0.1', '198.18.0.1'],
  ])('lets through what it says: %s at %s', (host, address) => {
    expect(rules.refusal(host, address, 'config')).toBe(null);
  });

  test.each([
    ['api.example.com', '192.168.0.1'],
    ['x.llm.corp.example.com', '192.168.3.4'],
    ['ts.net', '100.101.102.103'],
    ['evilts.net', '100.101.102.103'],
    ['llm.corp.example.com', '169.254.1.1'],
    ['llm.corp.example.com', '0.0.0.0'],
    ['169.254.169.254', '169.254.169.254'],
    ['api.example.com', 'fd00:ec2::254'],
    ['198.18.0.2', '198.18.0.2'],
  ])('and nothing else: not %s at %s', (host, address) => {
    expect(rules.refusal(host, address, 'config')).not.toBe(null);
  });

  test('is the operator’s word, and not a caller’s', () => {
    expect(rules.refusal('api.example.com', '10.0.0.1', 'caller')).not.toBe(null);
    expect(rules.refusal('llm.corp.example.com', '10.0.0.1', 'caller')).not.toBe(null);
  });

  test('lets a metadata service through by its own address alone', () => {
    const exact = egressRules(['169.254.169.254']);
    expect(exact.refusal('169.254.169.254', '169.254.169.254', 'config')).toBe(null);
  });

  test('is an address, a range, a host or a domain', () => {
    const good = [
      '10.0.0.0/8',
      '10.0.0.1',
      '::1',
      'fd00::/8',
      '0.0.0.0/0',
      'ollama',
      'my_box',
      'a.example.com',
      '*.lan',
    ];
    const bad = [
      '',
      '*',
      '*.',
      '10.0.0.0/33',
      'fd00::/129',
      '10.0.0.0/',
      '10.0.0/8',
      '127.1',
      'a b',
      'http://a',
      'a/8',
    ];
    expect(good.filter((entry) => !isAllowEntry(entry))).toEqual([]);
    expect(bad.filter(isAllowEntry)).toEqual([]);
  });
});
