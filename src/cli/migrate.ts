import type { Command } from 'commander';
import type { CommonOptions } from './options.ts';
import { databaseUrl, withCommonOptions } from './options.ts';
import { say } from './say.ts';
import { noteAudit } from './with-store.ts';

/** `mizan migrate` */
export function registerMigrate(program: Command): void {
  withCommonOptions(program.command('migrate').description("bring the database's tables up to this version")).action(
    async (options: CommonOptions) => {
      const { migrateStore } = await import('../store/index.ts');
      const { done } = await migrateStore({ folder: options.data, url: databaseUrl(options) });
      if (done.length > 0) {
        await noteAudit(options.data, { action: 'db.migrate', target: null, after: { steps: done } });
      }
      for (const name of done) say(`  ${name}`);
      say(done.length === 0 ? 'The database is up to date.' : `The database is up to date: ${done.length} steps done.`);
    },
  );
}
