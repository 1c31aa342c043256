import { DatabaseSync } from 'node:sqlite';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { temporaryFolder } from '../../../test/support/folder.ts';
import { MizanError } from '../../core/errors.ts';
import { openStore } from './index.ts';
import { SqliteSeenMessages } from './seen-messages.ts';

async function open(folder: string): Promise<DatabaseSync> {
  await (await openStore(folder)).close();
  const database = new DatabaseSync(join(folder, 'mizan.db'));
  onTestFinished(() => database.close());
  database.exec('PRAGMA synchronous = OFF');
  return database;
}

const times = { now: 0, expiresAt: 1000 };

/** How many messages of a tenant's own are taken before one is too many. */
function takes(seen: SqliteSeenMessages, tenant: string, scope = tenant): number {
  for (let count = 0; ; count++) {
    try {
      seen.isFirst({ scope, jti: `${tenant} ${count}`, tenant }, times);
    } catch (error) {
      if (error instanceof MizanError && error.code === 'overloaded') return count;
      throw error;
    }
  }
}

describe('encrypted requests that are remembered', () => {
  test('are as many of a tenant as there is room for others, so that none fills it for all', async () => {
    const folder = temporaryFolder();
    const database = await open(folder);
    const seen = new SqliteSeenMessages(database, 1000);
    const taken = Array.from({ length: 14 }, (_, i) => takes(seen, `greedy ${i}`));
    expect(taken).toStrictEqual([500, 250, 125, 63, 31, 16, 8, 4, 2, 1, 1, 1, 1, 1]);
    // Also for those who encrypt to the server's key, whose names are everybody's.
    expect(() => seen.isFirst({ scope: 'system', jti: 'x', tenant: 'greedy 0' }, times)).toThrow(/Too many/);
    // Known again after a start.
    const again = new SqliteSeenMessages(database, 1000);
    expect(() => again.isFirst({ scope: 'greedy 0', jti: 'y', tenant: 'greedy 0' }, times)).toThrow(/Too many/);
  });

  test('leave room when their time is over', async () => {
    const seen = new SqliteSeenMessages(await open(temporaryFolder()), 100);
    expect(takes(seen, 'acme')).toBe(50);
    const later = { now: 2000, expiresAt: 3000 };
    for (let i = 0; i < 50; i++) {
      expect(seen.isFirst({ scope: 'acme', jti: `later ${i}`, tenant: 'acme' }, later)).toBe(true);
    }
  });

  test('come once, in their scope', async () => {
    const seen = new SqliteSeenMessages(await open(temporaryFolder()));
    const first = (scope: string, tenant: string) => seen.isFirst({ scope, jti: 'j', tenant }, times);
    expect([first('a', 'a'), first('a', 'a'), first('b', 'b')]).toStrictEqual([true, false, true]);
    expect([first('system', 'a'), first('system', 'b')]).toStrictEqual([true, false]);
  });
});
