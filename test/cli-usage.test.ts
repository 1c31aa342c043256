import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { mizan as command } from './support/command.ts';
import { temporaryFolder } from './support/folder.ts';
import type { House } from './support/mizan.ts';
import { furnish } from './support/mizan.ts';

// Every command is a process, and the machine may have much else to do.
vi.setConfig({ testTimeout: 120_000 });

describe('help', () => {
  const commands = ['start', 'token', 'keys', 'requests', 'config', 'doctor', 'simulate'];

  test('names every command', async () => {
    const { code, stdout, stderr } = await command(['--help']);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    for (const name of commands) expect(stdout).toMatch(new RegExp(`^  ${name} `, 'm'));
  });

  test.for(['start', 'keys', 'token create'])('is there for mizan %s', async (name) => {
    const { code, stdout, stderr } = await command([...name.split(' '), '--help']);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toMatch(new RegExp(`^Usage: mizan ${name} `));
  });

  test('is everything that no command at all comes to, with exit code 2', async () => {
    const { code, stdout, stderr } = await command([]);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(/^Usage: mizan /);
  });
});

describe('exit code 2 and one clear line for', () => {
  let house: House;
  /** Somebody else's, on a port that we want. */
  const other = createServer();
  const files: Readonly<Record<string, string>> = {
    'not-yaml.yaml': 'models:\n  fast: [\nagents: }\n',
    'unknown-key.yaml': 'models:\n  fast:\n    stratgy: round-robin\n',
    'wrong-type.yaml': 'server:\n  port: eighty\n',
    'no-such-model.yaml': 'models:\n  fast: {}\nagents:\n  helper: { model: fats }\n',
    'no-variable.yaml': 'providers:\n  openai: { apiKey: "${NO_SUCH_KEY}" }\n',
    'anywhere.yaml': 'auth: { jwt: { generated: anywhere } }\n',
    occupied: 'a file, where a folder should be',
  };

  beforeAll(async () => {
    other.listen(0, '127.0.0.1');
    await once(other, 'listening');
    house = await furnish({});
    for (const [name, text] of Object.entries(files)) await writeFile(join(house.folder, name), text);
    await mkdir(join(house.folder, 'damaged'));
    await writeFile(join(house.folder, 'damaged', 'mizan.db'), 'No database, but as long as one. '.repeat(40));
    await mkdir(join(house.folder, 'short'));
    await writeFile(join(house.folder, 'short', 'jwt.secret'), 'short');
  });

  afterAll(async () => {
    other.close();
    await house.remove();
  });

  const start = 'start --port 0 --metrics-port 0';

  test.for([
    ['a port that is taken', 'start --port $PORT --metrics-port 0', /^Can't listen on .*:\d+: the port is taken$/],
    ['a metrics port that is taken', 'start --port 0 --metrics-port $PORT', /^Can't listen on .*: the port is taken$/],
    [
      'every address, before anybody may come',
      `${start} --host 0.0.0.0`,
      /^Mizan listens on 0\.0\.0\.0 only .*keys create/,
    ],
    [
      'an address of another machine',
      `${start} --host 192.0.2.1 --config anywhere.yaml`,
      /^Can't listen on 192\.0\.2\.1:0: .*EADDRNOTAVAIL/,
    ],
    ['a data folder that is a file', `${start} --data occupied`, /occupied.* can't be /],
    [
      'a data folder with a damaged database',
      `${start} --data damaged`,
      /damaged\/mizan\.db is damaged \(.*not a database\).*mizan backup restore NAME/,
    ],
    [
      'a damaged database, for other commands too',
      'requests --data damaged',
      /mizan\.db is damaged \(.*not a database\).*mizan backup restore NAME/,
    ],
    [
      'a secret that is too short',
      'token create --data short',
      /jwt\.secret is shorter than 32 characters\. Put a copy of it back; [^.]*\.$/,
    ],
    ['a configuration that is not there', `${start} --config gone.yaml`, /^gone\.yaml: there is no such file$/],
    ['a configuration that is no YAML', `${start} --config not-yaml.yaml`, /^not-yaml\.yaml:\d+:\d+: /],
    [
      'an unknown key',
      'config check --config unknown-key.yaml',
      /^unknown-key\.yaml:3:5 models\.fast\.stratgy: .*"strategy"/,
    ],
    [
      'a wrong type',
      'start --config wrong-type.yaml',
      /^wrong-type\.yaml:2:9 server\.port: expected .*, found "eighty"$/,
    ],
    ['an agent without its model', 'doctor --config no-such-model.yaml', /^no-such-model\.yaml:4:20 .*"fats".*"fast"/],
    [
      'a variable that is not set',
      'keys list --config no-variable.yaml',
      /^no-variable\.yaml:2:21 .*NO_SUCH_KEY is not set/,
    ],
    ['an unknown option', 'start --prot 1', /unknown option '--prot'/],
    ['an unknown command', 'strat', /unknown command 'strat'/],
    ['an argument too many', 'requests all', /too many arguments/],
    ['an argument that is missing', 'keys revoke', /missing required argument 'id'/],
    ['a number that is out of range', 'requests --limit 1001', /--limit.*whole number from 1 to 1000/],
    ['the tenant that is every tenant', 'token create --tenant *', /--tenant.*name of one tenant/],
    ['the tenant that is Mizan itself', 'keys create --tenant system', /--tenant.*name of one tenant/],
    ['a message of Mizan itself', 'secrets export-message-key --tenant system', /--tenant.*name of one tenant/],
    ['money without a period', 'keys create --budget 10', /--budget.*US dollars per hour, day, week, month, total/],
    ['more money than a budget holds', 'keys create --budget 99999999/day', /--budget.*up to 1000000/],
    ['days of nowhere', 'keys create --budget 10/day/Mars', /--budget.*time zone such as Asia\/Riyadh, not "Mars"/],
    ['two ways to name a token', 'token revoke --jti a --sub b', /^Give --jti or --sub, not both\.$/],
    ['no token to revoke', 'token revoke', /^There is no token on stdin; give --jti or --sub/],
    ['a role that is none', 'token create --role king', /--role.*viewer, member, operator, admin/],
    ['a fault that is none', 'simulate --port 0 --fault cutt', /Did you mean "cut"\?/],
  ] as const)('%s', async ([, line, saying]) => {
    const { port } = other.address() as AddressInfo;
    const args = line.replace('$PORT', String(port)).split(' ');
    const { code, stdout, stderr } = await command(args, { cwd: house.folder });
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    // A hint in brackets may follow.
    const lines = stderr.trimEnd().split('\n');
    expect(lines.filter((each) => !/^\(.*\)$/.test(each))).toEqual([expect.stringMatching(saying)]);
    expect(stderr).not.toMatch(/\bat .*:\d+:\d+\)?$|node:internal|Error:/m);
  });
});

describe('compiled code', () => {
  test('is kept where only this user writes, and where nothing can be written everything works all the same', async () => {
    const home = temporaryFolder();
    expect(await command(['--version'], { env: { HOME: home } })).toMatchObject({ code: 0, stderr: '' });
    expect(readdirSync(join(home, '.cache'))).toEqual(['mizan']);
    expect(await command(['--version'], { env: { HOME: '/proc' } })).toMatchObject({ code: 0, stderr: '' });
  });
});
