import type { DatabaseSync, StatementSync } from 'node:sqlite';
import type { CountedRoom } from '../../security/rotation.ts';
import { sealedUnder } from './sealed-values.ts';

/** What tenants' jobs are given and put out: sealed anew beside answers, and counted here before a key goes. */
export class CountedJobs implements CountedRoom {
  readonly purpose = 'job';
  readonly #count: StatementSync;

  constructor(database: DatabaseSync) {
    this.#count = database.prepare(`
      SELECT (SELECT count(*) FROM jobs WHERE sealed IS NOT NULL AND ${sealedUnder})
        + (SELECT count(*) FROM job_runs WHERE sealed IS NOT NULL AND ${sealedUnder}) AS n`);
  }

  count(keyId: string): number {
    const id = Buffer.from(keyId, 'hex');
    return Number(this.#count.get(id, id)?.['n']);
  }
}
