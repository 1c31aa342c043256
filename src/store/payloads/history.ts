import type { Kysely } from 'kysely';
import type { KeptPayload, PayloadHistory } from '../../core/payload.ts';
import type { Database } from '../schema.ts';
import type { PayloadRoom } from './room.ts';

/** Reads what was said, on either engine. */
export class KyselyPayloadHistory implements PayloadHistory {
  readonly #database: Kysely<Database>;
  readonly #room: PayloadRoom;

  constructor(database: Kysely<Database>, room: PayloadRoom) {
    this.#database = database;
    this.#room = room;
  }

  async find(tenant: string, requestId: string): Promise<KeptPayload | undefined> {
    const select = this.#database.selectFrom('payloads').selectAll();
    const row = await select.where('tenant', '=', tenant).where('request_id', '=', requestId).executeTakeFirst();
    return row === undefined ? undefined : this.#room.open(row);
  }
}
