import { once } from 'node:events';
import { readdir, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import type { Ended } from './support/command.ts';
import { mizan as command } from './support/command.ts';
import { issuerKey, startIssuer } from './support/issuer.ts';
import type { RunningProcess } from './support/mizan.ts';
import { commonOptions, furnish, startProcess } from './support/mizan.ts';
import { closedPort } from './support/model-service.ts';

// Every command is a process, and the machine may have much else to do.
vi.setConfig({ testTimeout: 120_000 });

const config = { providers: { sim: { kind: 'simulator' } } };

let mizan: RunningProcess;

beforeAll(async () => {
  mizan = await startProcess(config);
});

afterAll(() => mizan.end());

/** Runs a command beside the Mizan that runs, on its data. */
const beside = (...args: readonly string[]): Promise<Ended> => command([...args, ...commonOptions(mizan)]);

describe('mizan doctor', () => {
  test('finds everything in order, one line each, beside a running Mizan too', async () => {
    const [port, metricsPort] = [mizan.url, mizan.metricsUrl].map((url) => Number(new URL(url).port));
    await writeFile(mizan.configFile, JSON.stringify({ ...config, server: { port, metricsPort } }));
    const { code, stdout, stderr } = await beside('doctor');
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const checks = stdout
      .trimEnd()
      .split('\n')
      .map((line) => line.slice(0, line.indexOf(':')));
    expect(checks).toEqual([
      'ok   runtime',
      'ok   config',
      'ok   data folder',
      'ok   disk',
      'ok   database',
      'ok   master key',
      'ok   redis',
      'ok   limits',
      `ok   port ${port}`,
      `ok   port ${metricsPort}`,
      'ok   provider sim',
      'ok   clock',
    ]);
    expect(stdout).toContain(`runtime: Node ${process.versions.node}`);
    expect(stdout.match(/in use by a running Mizan/g)).toHaveLength(2);
  });

  test('looks at the ports that it is told, by the names that start has for them', async () => {
    const [port, metricsPort] = [mizan.url, mizan.metricsUrl].map((url) => new URL(url).port);
    const ports = ['--port', port!, '--metrics-port', metricsPort!, '--host', '127.0.0.1'];
    const { stdout } = await beside('doctor', ...ports);
    expect(stdout).toMatch(new RegExp(`^ok {3}port ${port}: in use by a running Mizan$`, 'm'));
    expect(stdout).toMatch(new RegExp(`^ok {3}port ${metricsPort}: in use by a running Mizan$`, 'm'));
    expect((await beside('doctor', '--port', '70000')).code).toBe(2);
  });

  test('changes nothing: where there is no data folder yet, there is none after it', async () => {
    const house = await furnish({
      server: { port: await closedPort(), metricsPort: await closedPort() },
      providers: { sim: { kind: 'simulator' } },
    });
    const { code, stdout, stderr } = await command(['doctor', ...commonOptions(house)]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toMatch(/^ok {3}data folder: .* is made at the first start$/m);
    expect(stdout).toMatch(/^ok {3}database: .* is made at the first start$/m);
    expect(await readdir(house.folder)).toEqual(['mizan.yaml']);
    await house.remove();
  });

  test('fails with 1 where a provider is away or refuses the key, without showing the key', async () => {
    const apiKey = 'sk-do-not-show-me';
    const service = createServer(({ url, headers }, response) => {
      const isWelcome = url === '/v1/models' && headers.authorization === `Bearer ${apiKey}`;
      response.writeHead(isWelcome ? 200 : 401, { 'content-type': 'application/json' }).end('{"data":[]}');
    });
    service.listen(0, '127.0.0.1');
    await once(service, 'listening');
    const baseUrl = `http://127.0.0.1:${(service.address() as AddressInfo).port}/v1`;
    const issuer = await startIssuer(await issuerKey('ES256', 'one'));
    const nobody = `http://127.0.0.1:${await closedPort()}`;
    const house = await furnish({
      auth: { issuers: [issuer.url, nobody].map((url) => ({ issuer: url, audience: 'mizan' })) },
      server: { port: await closedPort(), metricsPort: await closedPort() },
      providers: {
        there: { kind: 'openai-compatible', baseUrl, apiKey },
        locked: { kind: 'openai-compatible', baseUrl, apiKey: `${apiKey}-either` },
        away: { kind: 'openai-compatible', baseUrl: `http://127.0.0.1:${await closedPort()}/v1`, apiKey },
      },
    });
    const { code, stdout, stderr } = await command(['doctor', '--json', ...commonOptions(house)]);
    expect({ code, stderr }).toEqual({ code: 1, stderr: '' });
    expect(stdout).not.toContain(apiKey);
    const findings = JSON.parse(stdout) as readonly {
      readonly check: string;
      readonly isFine: boolean;
      readonly detail: string;
    }[];
    expect(
      findings.filter(({ check }) => check.startsWith('provider')).map(({ check, isFine }) => [check, isFine]),
    ).toEqual([
      ['provider there', true],
      ['provider locked', false],
      ['provider away', false],
    ]);
    expect(findings.filter(({ isFine }) => !isFine).map(({ detail }) => detail)).toEqual([
      expect.stringContaining('401'),
      expect.stringContaining('ECONNREFUSED'),
      expect.stringContaining('ECONNREFUSED'),
    ]);
    expect(findings).toContainEqual({ check: `issuer ${issuer.url}`, isFine: true, detail: '1 key' });
    service.close();
    await house.remove();
  });
});
