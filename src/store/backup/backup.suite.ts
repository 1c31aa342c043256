import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import type { KeepRule } from '../../core/backups.ts';
import { temporaryFolder } from '../../../test/support/folder.ts';
import { Secret } from '../../core/secret.ts';
import { MasterKeys, noMasterKeySettings } from '../../security/master-keys.ts';
import { holdBackups } from '../folder-lock.ts';
import type { BackupEngine, BackupTarget } from './contract.ts';
import type { CreatedBackup } from './create.ts';
import { createBackup } from './create.ts';
import { restoreBackup, verifyBackup } from './restore.ts';
import { folderTarget } from './targets/folder.ts';

/** A database of one kind, with Mizan's tables in it, for one test. */
export interface World {
  readonly dataFolder: string;
  readonly engine: BackupEngine;
  /** Adds so many keys, all or none. */
  addKeys(count: number): Promise<void>;
  countKeys(): Promise<number>;
  /** Runs any statement. */
  run(sql: string): Promise<void>;
  /** Makes the database free for a restore; `addKeys` and `countKeys` work again afterwards. */
  leave(): Promise<void>;
  /** Another place like this one, with nothing in it. */
  emptyPlace(): Promise<World>;
}

export const aMasterKey = (): string => randomBytes(32).toString('base64');

export function keysOf(secret: string, dataFolder: string): MasterKeys {
  return new MasterKeys({ ...noMasterKeySettings, key: new Secret(secret) }, dataFolder);
}

/** What every engine keeps of the promises of backups. */
export function backupSuite(name: string, newWorld: () => Promise<World>): void {
  describe(`backups of ${name}`, () => {
    let world: World;
    let folder: string;
    let target: BackupTarget;
    const secret = aMasterKey();
    let now = Date.UTC(2026, 10, 24);

    beforeEach(async () => {
      world = await newWorld();
      folder = join(temporaryFolder(), 'backups');
      target = folderTarget(folder);
    });

    interface Changes {
      readonly keep?: KeepRule;
      readonly engine?: BackupEngine;
      readonly configFile?: string;
      readonly onProgress?: () => void;
    }

    const create = (changes: Changes = {}): Promise<CreatedBackup> =>
      createBackup({
        dataFolder: world.dataFolder,
        engine: world.engine,
        masterKeys: keysOf(secret, world.dataFolder),
        configFile: null,
        targets: [target],
        keep: 8,
        program: '0.1.0',
        now: (now += 1000),
        onProgress() {},
        ...changes,
      });

    const reading = (place: World, key = secret) => ({
      dataFolder: place.dataFolder,
      engine: place.engine,
      masterKeys: keysOf(key, place.dataFolder),
      configFile: join(place.dataFolder, 'mizan.yaml'),
      onProgress() {},
    });

    test('come back with what was there, and what was there since is kept aside', async () => {
      await world.addKeys(3);
      const { places, manifest } = await create();
      expect(manifest.tables.find((table) => table.name === 'api_keys')?.rows).toBe(3);
      await world.addKeys(2);
      await world.leave();
      const { aside } = await restoreBackup(places[0]!, reading(world));
      expect(await world.countKeys()).toBe(3);
      expect(aside).not.toBeNull();
    });

    test('come back in an empty place, with the configuration, and go on from there', async () => {
      await world.addKeys(3);
      const configFile = join(world.dataFolder, 'my.yaml');
      writeFileSync(configFile, 'agents: {}\n');
      const { places } = await create({ configFile });
      const empty = await world.emptyPlace();
      const restored = await restoreBackup(places[0]!, reading(empty));
      expect(restored).toMatchObject({
        aside: null,
        config: { file: join(empty.dataFolder, 'mizan.yaml'), leadsHere: true },
      });
      expect(readFileSync(restored.config!.file, 'utf8')).toBe('agents: {}\n');
      expect(await empty.countKeys()).toBe(3);
      await empty.addKeys(1);
      expect(await empty.countKeys()).toBe(4);
      await empty.leave();
    });

    test('hold every table there is, whoever made it', async () => {
      await world.run('CREATE TABLE "odd ""name" ("select" INTEGER PRIMARY KEY, note TEXT)');
      await world.run(`INSERT INTO "odd ""name" VALUES (1, 'tab\tand \\ and "سلام"'), (2, NULL), (3, '')`);
      const { manifest } = await create();
      expect(manifest.tables.find((table) => table.name === 'odd "name')?.rows).toBe(3);
      expect(manifest.tables.map((table) => table.name)).toContain('kysely_migration');
    });

    test('are of one moment, while others write', async () => {
      await world.addKeys(10);
      const over = new AbortController();
      let added = 10;
      const writer = (async () => {
        while (!over.signal.aborted) {
          await world.addKeys(10);
          added += 10;
          await new Promise((resolve) => setImmediate(resolve));
        }
      })();
      const { manifest } = await create().finally(() => over.abort());
      await writer;
      expect(added).toBeGreaterThan(10);
      expect(manifest.tables.find((table) => table.name === 'api_keys')!.rows % 10).toBe(0);
    });

    test('that don’t come back as they were are none', async () => {
      await world.addKeys(1);
      await create();
      const lying: BackupEngine = {
        ...world.engine,
        async snapshot(work, onProgress) {
          const snapshot = await world.engine.snapshot(work, onProgress);
          const tables = snapshot.facts.tables.map((table) => ({ ...table, sha256: 'f'.repeat(64) }));
          return {
            facts: { ...snapshot.facts, tables },
            bytes: snapshot.bytes,
            parts: () => snapshot.parts(),
            close: () => snapshot.close(),
          };
        },
      };
      await expect(create({ engine: lying })).rejects.toMatchObject({ code: 'backup_damaged' });
      expect(await target.list()).toHaveLength(1);
      expect(readdirSync(folder)).toHaveLength(1);
    });

    test('are refused with another key, before anything is touched', async () => {
      await world.addKeys(1);
      const { places } = await create();
      const empty = await world.emptyPlace();
      const before = readdirSync(empty.dataFolder);
      const refused = { code: 'backup_unusable', message: expect.stringContaining('master key') as string };
      await expect(restoreBackup(places[0]!, reading(empty, aMasterKey()))).rejects.toMatchObject(refused);
      await expect(verifyBackup(places[0]!, reading(empty, aMasterKey()))).rejects.toMatchObject(refused);
      expect(readdirSync(empty.dataFolder)).toEqual(before);
    });

    test('of a newer Mizan are refused, before anything is touched', async () => {
      await world.run(`INSERT INTO kysely_migration (name, timestamp) VALUES ('9999-the-future', '2030')`);
      const { places } = await create();
      const empty = await world.emptyPlace();
      const before = readdirSync(empty.dataFolder);
      await expect(restoreBackup(places[0]!, reading(empty))).rejects.toMatchObject({
        code: 'backup_unusable',
        message: expect.stringMatching(/newer Mizan .* 9999-the-future/) as string,
      });
      expect(readdirSync(empty.dataFolder)).toEqual(before);
    });

    test('that are damaged are refused, before anything is touched', async () => {
      await world.addKeys(1);
      const { places } = await create();
      const bytes = readFileSync(places[0]!);
      const empty = await world.emptyPlace();
      const before = readdirSync(empty.dataFolder);
      const middle = bytes.length >> 1;
      for (const broken of [bytes.subarray(0, -1), bytes.with(middle, bytes[middle]! ^ 1), Buffer.alloc(0)]) {
        const file = join(folder, 'broken');
        writeFileSync(file, broken);
        await expect(restoreBackup(file, reading(empty))).rejects.toMatchObject({ code: 'backup_damaged' });
      }
      expect(readdirSync(empty.dataFolder)).toEqual(before);
    });

    test('can be verified beside a Mizan in use', async () => {
      await world.addKeys(2);
      const { places, manifest } = await create();
      await world.addKeys(1);
      expect(await verifyBackup(places[0]!, reading(world))).toEqual(manifest);
      expect(await world.countKeys()).toBe(3);
    });

    test('are not restored while anybody uses the data', async () => {
      await world.addKeys(1);
      const { places } = await create();
      await expect(restoreBackup(places[0]!, reading(world))).rejects.toMatchObject({ code: 'backup_running' });
      await world.addKeys(1);
      expect(await world.countKeys()).toBe(2);
    });

    test('leave older ones by the rule, and what a killed run left goes with the next', async () => {
      mkdirSync(folder, { recursive: true });
      mkdirSync(join(world.dataFolder, 'backup-work'));
      writeFileSync(join(world.dataFolder, 'backup-work/copy.db'), 'half');
      writeFileSync(join(folder, '.mizan-2026-11-24T19-34-09Z-3fa2c1.backup.partial'), 'half');
      const made = [await create({ keep: 2 }), await create({ keep: 2 }), await create({ keep: 2 })];
      expect(made[2]!.removed).toEqual([made[0]!.name]);
      expect((await target.list()).map((backup) => backup.name)).toEqual([made[2]!.name, made[1]!.name]);
      expect(readdirSync(folder)).toHaveLength(2);
      expect(existsSync(join(world.dataFolder, 'backup-work'))).toBe(false);
    });

    test('that were just made stay, where one with a later date is there', async () => {
      now += 86_400_000;
      await create({ keep: 1 });
      now -= 86_400_000;
      const made = await create({ keep: 1 });
      expect((await target.list()).map((backup) => backup.name)).toContain(made.name);
      expect(made.removed).not.toContain(made.name);
    });

    test('are made one at a time', async () => {
      const hold = holdBackups(world.dataFolder);
      await expect(create()).rejects.toMatchObject({ code: 'backup_running' });
      hold.release();
      await create();
    });
  });
}
