import { Client } from 'pg';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { temporaryFolder } from '../../../../test/support/folder.ts';
import type { PostgresServer } from '../../../../test/support/postgres.ts';
import { anyPostgres } from '../../../../test/support/postgres.ts';
import { newApiKey } from '../../../security/api-keys.ts';
import type { World } from '../backup.suite.ts';
import { backupSuite } from '../backup.suite.ts';
import { backupEngine } from './index.ts';
import { postgresFacts } from './postgres-facts.ts';

let server: PostgresServer;

beforeAll(async () => {
  server = await anyPostgres();
});

afterAll(() => server.end());

/** Everything that Mizan's own tables have, and more than they have today. */
const tables = `
  CREATE TABLE kysely_migration (name varchar(255) PRIMARY KEY, timestamp varchar(255) NOT NULL);
  INSERT INTO kysely_migration VALUES ('0001-requests-and-keys', '2026');
  CREATE TABLE api_keys (id text COLLATE "C" NOT NULL, hash text COLLATE "C" NOT NULL, created_at bigint NOT NULL,
    sealed bytea, cost double precision, CONSTRAINT api_keys_pkey PRIMARY KEY (id));
  CREATE TABLE requests (tenant text COLLATE "C" NOT NULL, id text COLLATE "C" NOT NULL, error text)
    PARTITION BY RANGE (id);
  CREATE TABLE requests_other PARTITION OF requests DEFAULT;
  CREATE TABLE requests_day PARTITION OF requests FOR VALUES FROM ('req_a') TO ('req_b');
  ALTER TABLE requests ADD CONSTRAINT requests_pk PRIMARY KEY (tenant, id);
  CREATE INDEX requests_errors ON requests (tenant, id) WHERE error IS NOT NULL;
  CREATE UNIQUE INDEX api_keys_hash ON api_keys (hash) WHERE created_at > 0;
  INSERT INTO requests VALUES ('t', 'req_a1', NULL), ('t', 'req_z', 'broken');
  CREATE TABLE audit (seq bigserial PRIMARY KEY, n integer GENERATED ALWAYS AS IDENTITY, what text);
  INSERT INTO audit (what) VALUES ('one'), ('two');
  CREATE TABLE table_versions (table_name text PRIMARY KEY, version bigint NOT NULL);
  INSERT INTO table_versions VALUES ('api_keys', 1);
  CREATE FUNCTION mizan_count_up() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN UPDATE table_versions SET version = version + 1 WHERE table_name = TG_TABLE_NAME; RETURN NULL; END $$;
  CREATE TRIGGER mizan_count_up AFTER INSERT OR UPDATE OR DELETE ON api_keys
    FOR EACH STATEMENT EXECUTE FUNCTION mizan_count_up();`;

async function world(isEmpty: boolean): Promise<World & { readonly url: string }> {
  const dataFolder = temporaryFolder();
  const url = await server.newDatabase();
  let client: Client | null = null;
  const opened = async (): Promise<Client> => {
    if (client === null) {
      client = new Client({ connectionString: url, application_name: 'mizan' });
      await client.connect();
    }
    return client;
  };
  const leave = async (): Promise<void> => {
    await client?.end();
    client = null;
  };
  onTestFinished(leave);
  if (!isEmpty) await (await opened()).query(tables);
  return {
    url,
    dataFolder,
    engine: backupEngine(dataFolder, url),
    async addKeys(count) {
      const insert = `INSERT INTO api_keys SELECT $1 || i, $1 || i, i, '\\x00ff'::bytea, 0.1 + i FROM generate_series(1, $2) i`;
      await (await opened()).query(insert, [newApiKey().id, count]);
    },
    async countKeys() {
      const { rows } = await (await opened()).query<{ n: string }>('SELECT count(*) AS n FROM api_keys');
      return Number(rows[0]?.n);
    },
    run: async (sql) => void (await (await opened()).query(sql)),
    leave,
    emptyPlace: () => world(true),
  };
}

backupSuite('PostgreSQL', () => world(false));

test('a scratch database has the same tables, partitions, indexes, functions and triggers, and goes when it is closed', async () => {
  const { url, engine, run } = await world(false);
  const client = new Client({ connectionString: url });
  await client.connect();
  onTestFinished(() => client.end());
  const shape = async (): Promise<unknown> => {
    const { rows } = await client.query<{ schema: string; name: string; kind: string; more: string }>(`
      SELECT n.nspname AS schema, c.relname AS name, c.relkind AS kind,
        coalesce(pg_get_expr(c.relpartbound, c.oid), pg_get_indexdef(c.oid, 0, true)) AS more
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
      WHERE n.nspname = 'public' OR n.nspname LIKE 'mizan_scratch%' ORDER BY 2`);
    const of = (isScratch: boolean) =>
      rows
        .filter(({ schema }) => (schema !== 'public') === isScratch)
        .map(({ name, kind, more }) => [name, kind, more?.replaceAll(/mizan_scratch_\w+\.|public\./g, '')]);
    return { used: of(false), scratch: of(true) };
  };
  const snapshot = await engine.snapshot('', () => {});
  const scratch = await engine.scratch('', 0);
  for await (const part of snapshot.parts()) await scratch.take(part);
  expect(await scratch.facts(() => {})).toEqual(snapshot.facts);
  const { used, scratch: made } = (await shape()) as { readonly used: unknown; readonly scratch: unknown };
  expect(made).toEqual(used);
  await scratch.close();
  await snapshot.close();
  expect(await shape()).toEqual({ used, scratch: [] });
  await run("INSERT INTO audit (what) VALUES ('three')");
});

test('what was restored goes on counting where it was', async () => {
  const { url, engine, run, leave } = await world(false);
  const snapshot = await engine.snapshot('', () => {});
  const scratch = await engine.scratch('', 0);
  for await (const part of snapshot.parts()) await scratch.take(part);
  await scratch.facts(() => {});
  await snapshot.close();
  await leave();
  expect(await scratch.adopt()).toMatch(/^the schema before_restore_\d{14} of the database$/);
  await scratch.close();
  await run("INSERT INTO audit (what) VALUES ('three')");
  await run("INSERT INTO api_keys VALUES ('k', 'h', 1)");
  const client = new Client({ connectionString: url });
  await client.connect();
  onTestFinished(() => client.end());
  const audit = await client.query('SELECT seq::int, n FROM audit ORDER BY seq');
  expect(audit.rows).toEqual([1, 2, 3].map((n) => ({ seq: n, n })));
  // Copies of small tables elsewhere are known by versions: none of them may come again.
  const versions = await client.query('SELECT version > 1000000 AS leapt FROM table_versions');
  expect(versions.rows).toEqual([{ leapt: true }]);
  const before = await postgresFacts(client, () => {});
  expect(before.tables.find(({ name }) => name === 'requests')?.rows).toBe(2);
});
