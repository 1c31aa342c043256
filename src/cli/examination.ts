import { once } from 'node:events';
import { accessSync, constants, statfsSync, statSync } from 'node:fs';
import { createServer } from 'node:net';
import { dirname, join, resolve } from 'node:path';
import { request } from 'undici';
import type { Config, ProviderConfig } from '../config/config.ts';
import type { IssuerSettings } from '../core/issuer.ts';
import { fetchKeySet } from '../security/issuer-keys.ts';
import { jwksOver } from '../security/jwks-fetch.ts';
import type { Outgoing } from '../core/outgoing.ts';
import { guardedFetch } from '../egress/fetch.ts';
import { EgressGuard } from '../egress/guard.ts';
import { egressRules } from '../egress/rules.ts';

/** What one check came to. */
export interface Finding {
  readonly check: string;
  readonly isFine: boolean;
  readonly detail: string;
}

/** How long any of them may take, in ms. */
const limitMs = 5000;

/** Less free space than this is a failure, in bytes. */
const leastFree = 256 * 1024 * 1024;

/** The most of a list of models that is read, in bytes. */
const maxListBytes = 16 * 1024 * 1024;

/** A clock may be off by so much, in ms. */
const mostDrift = 60_000;

/** Looks at everything that Mizan needs, without changing any of it. */
export async function examine(config: Config, dataFolder: string): Promise<Finding[]> {
  const { host, port, metricsPort } = config.server;
  const providers = Object.entries(config.providers);
  const outgoing = guardedFetch(new EgressGuard(egressRules(config.egress.allow)));
  return [
    await check('runtime', async () => `Node ${process.versions.node} (${process.execPath})`),
    await check('config', async () => config.file ?? 'no file, defaults'),
    await check('data folder', async () => usableFolder(dataFolder)),
    await check('disk', async () => freeSpace(dataFolder)),
    await check('database', () => database(config, dataFolder)),
    await check('master key', () => masterKey(dataFolder, config)),
    await check('redis', () => redis(config)),
    ...(config.redis.url === null ? [await check('limits', () => limits(config, dataFolder))] : []),
    await check(`port ${port}`, () => freePort(host, port, '/healthz')),
    await check(`port ${metricsPort}`, () => freePort(host, metricsPort, '/metrics')),
    ...(await Promise.all(
      providers.map(([name, provider]) => check(`provider ${name}`, () => answers(provider, outgoing))),
    )),
    ...(await Promise.all(
      config.auth.issuers.map((issuer) => check(`issuer ${issuer.issuer}`, () => keysOf(issuer, outgoing))),
    )),
    await check('clock', () =>
      clock(
        providers.map(([, provider]) => provider),
        outgoing,
      ),
    ),
  ];
}

async function check(name: string, look: () => Promise<string>): Promise<Finding> {
  try {
    return { check: name, isFine: true, detail: await look() };
  } catch (error) {
    return { check: name, isFine: false, detail: error instanceof Error ? error.message : String(error) };
  }
}

function usableFolder(folder: string): string {
  const existing = existingFolder(folder);
  if (!statSync(existing).isDirectory()) throw new Error(`${existing} is not a folder`);
  accessSync(existing, constants.R_OK | constants.W_OK | constants.X_OK);
  return existing === resolve(folder) ? existing : `${resolve(folder)} is made at the first start`;
}

/** The folder itself, or what there is above it. */
function existingFolder(folder: string): string {
  let path = resolve(folder);
  while (statSync(path, { throwIfNoEntry: false }) === undefined && path !== dirname(path)) path = dirname(path);
  return path;
}

function freeSpace(folder: string): string {
  const { bavail, bsize } = statfsSync(existingFolder(folder));
  const free = bavail * bsize;
  const shown = `${(free / 2 ** 30).toFixed(1)} GiB free`;
  if (free < leastFree) throw new Error(`${shown}, less than 0.25 GiB`);
  return shown;
}

async function database(config: Config, folder: string): Promise<string> {
  const url = config.database.url?.reveal() ?? null;
  const found = url === null ? await inLocal(folder) : await inPostgres(url);
  const where = url === null ? `SQLite in ${resolve(folder)}` : `PostgreSQL at ${new URL(url).host}`;
  if (found === null) return `${where} is made at the first start`;
  if (found.version === 'newer') throw new Error(`${where} belongs to a newer version of Mizan`);
  if (found.version === 'older') return `${where}, is brought up to date at the next start`;
  const last = found.newestAt === null ? 'no requests yet' : `last request ${new Date(found.newestAt).toISOString()}`;
  return `${where}, ${last}`;
}

/** Several that count each for itself let in several times what a limit says. */
async function limits(config: Config, folder: string): Promise<string> {
  const url = config.database.url?.reveal() ?? null;
  const { gateways, hasLimits } = url === null ? await gatewaysHere(folder) : await gatewaysIn(url);
  const isLimited = hasLimits || config.limits.length > 0;
  if (gateways <= 1) return 'counted by one process; more on this database would need Redis to count together';
  const found = `${gateways} gateways are on this database without Redis`;
  if (!isLimited) return `${found}; nothing is limited by the minute`;
  throw new Error(`${found}: each counts requests, tokens and what is in flight for itself. Set redis.url`);
}

async function gatewaysHere(folder: string) {
  const { inspectGateways } = await import('../store/sqlite/inspect.ts');
  return inspectGateways(folder);
}

async function gatewaysIn(url: string) {
  const { inspectGateways } = await import('../store/postgres/inspect.ts');
  return inspectGateways(url);
}

async function inLocal(folder: string) {
  const { inspectDatabase } = await import('../store/sqlite/inspect.ts');
  return inspectDatabase(folder);
}

async function inPostgres(url: string) {
  const { inspectPostgres } = await import('../store/postgres/inspect.ts');
  return inspectPostgres(url);
}

async function masterKey(folder: string, config: Config): Promise<string> {
  const { inspectSealed } = await import('../store/sqlite/stored-secrets.ts');
  const { vaultFile } = await import('../store/sqlite/file.ts');
  const { MasterKeys } = await import('../security/master-keys.ts');
  const sealed = inspectSealed(
    join(folder, vaultFile(config.database.url)),
    new MasterKeys(config.security.masterKey, folder),
  );
  return sealed === 0 ? 'nothing is sealed yet' : `unwraps ${sealed} data keys`;
}

async function redis(config: Config): Promise<string> {
  if (config.redis.url === null) return 'not configured, memory is used';
  const { Redis: Client } = await import('ioredis');
  const client = new Client(config.redis.url.reveal(), {
    lazyConnect: true,
    maxRetriesPerRequest: 0,
    connectTimeout: limitMs,
    commandTimeout: limitMs,
    retryStrategy: () => null,
  });
  let reason: unknown;
  client.on('error', (error) => (reason ??= error));
  try {
    await client.connect();
    await client.ping();
    // The client goes on in database 0 where it can't have the one that is named, without a word.
    await client.select(client.options.db ?? 0);
    return `${new URL(config.redis.url.reveal()).host} answers`;
  } catch (error) {
    throw reason ?? error;
  } finally {
    client.disconnect();
  }
}

async function freePort(host: string, port: number, path: string): Promise<string> {
  const server = createServer();
  try {
    server.listen(port, host);
    await once(server, 'listening');
    return 'free';
  } catch (error) {
    if (!(await isMizan(host, port, path))) throw error;
    const trouble = await troubleOf(host, port);
    if (trouble !== null) throw new Error(`in use by a running Mizan that is degraded: ${trouble}`, { cause: error });
    return 'in use by a running Mizan';
  } finally {
    server.close();
  }
}

async function isMizan(host: string, port: number, path: string): Promise<boolean> {
  const text = await textAt(host, port, path).catch(() => '');
  return text === '{"status":"ok"}' || text.includes('mizan_requests_in_flight');
}

/** What a running Mizan says that it has to do without; `null` where that is nothing, or where it isn't asked. */
async function troubleOf(host: string, port: number): Promise<string | null> {
  const text = await textAt(host, port, '/readyz').catch(() => '{}');
  const { degraded } = JSON.parse(text.startsWith('{"status"') ? text : '{}') as { readonly degraded?: object };
  if (degraded === undefined) return null;
  return Object.entries(degraded)
    .map(([what, how]) => `${what.replaceAll('_', ' ')} ${String(how)}`)
    .join(', ');
}

async function textAt(host: string, port: number, path: string): Promise<string> {
  const address = host === '0.0.0.0' || host === '::' ? '127.0.0.1' : host;
  const answer = await request(`http://${address}:${port}${path}`, { signal: AbortSignal.timeout(limitMs) });
  return answer.body.text();
}

/** Asks for its list of models, which costs nothing. */
async function answers(provider: ProviderConfig, outgoing: Outgoing): Promise<string> {
  if (provider.kind === 'simulator') return 'built in';
  const { status } = await models(provider, outgoing);
  if (status === 401 || status === 403) throw new Error(`refuses the API key (status ${status})`);
  if (status >= 500) throw new Error(`answers with status ${status}`);
  return `${new URL(provider.baseUrl).host} answers`;
}

async function models(provider: Exclude<ProviderConfig, { kind: 'simulator' }>, outgoing: Outgoing) {
  const headers = provider.apiKey === null ? {} : { authorization: `Bearer ${provider.apiKey.reveal()}` };
  return outgoing({
    url: `${provider.baseUrl}/models`,
    headers: { ...provider.headers, ...headers },
    namedBy: 'config',
    maxBytes: maxListBytes,
    deadlineMs: limitMs,
  });
}

async function keysOf(issuer: IssuerSettings, outgoing: Outgoing): Promise<string> {
  const { keys } = await fetchKeySet(issuer, jwksOver(outgoing));
  if (keys.length === 0) throw new Error('it shows no keys');
  return `${keys.length} ${keys.length === 1 ? 'key' : 'keys'}`;
}

/** Against the `Date` of the first provider that can be reached. */
async function clock(providers: readonly ProviderConfig[], outgoing: Outgoing): Promise<string> {
  for (const provider of providers) {
    if (provider.kind === 'simulator') continue;
    const answer = await models(provider, outgoing).catch(() => null);
    const date = Date.parse(String(answer?.headers['date']));
    if (Number.isNaN(date)) continue;
    const drift = Date.now() - date;
    const shown = `${new Date().toISOString()}, ${(Math.abs(drift) / 1000).toFixed(0)} s from ${new URL(provider.baseUrl).host}`;
    if (Math.abs(drift) > mostDrift) throw new Error(`${shown}: tokens will be refused`);
    return shown;
  }
  return `${new Date().toISOString()}, nothing to compare it with`;
}
