import { createHash } from 'node:crypto';
import { DatabaseSync } from 'node:sqlite';
import { expect, onTestFinished, test } from 'vitest';
import { sqliteTableFacts } from './sqlite-facts.ts';

test('a table’s hash is over its rows as SQLite would write them in SQL: backups that were made before depend on it', () => {
  const database = new DatabaseSync(':memory:');
  onTestFinished(() => database.close());
  database.exec('CREATE TABLE t (a, b TEXT, "c ""d""" INTEGER, d REAL, e BLOB)');
  const insert = database.prepare('INSERT INTO t VALUES (?, ?, ?, ?, ?)');
  const lines: string[] = [];
  for (let i = 0; i < 1000; i++) {
    insert.run(null, "it's ميزان, NULL", i, i + 0.5, Buffer.of(0, 255));
    lines.push(`NULL,'it''s ميزان, NULL',${i},${i}.5,X'00FF'\n`);
  }
  let batches = 0;
  const facts = sqliteTableFacts(database, 't', () => batches++);
  expect(facts).toEqual({ name: 't', rows: 1000, sha256: createHash('sha256').update(lines.join('')).digest('hex') });
  // A rest can come in between often.
  expect(batches).toBeGreaterThanOrEqual(10);
});
