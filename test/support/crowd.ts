import { Agent, request as send } from 'undici';
import { saidIn } from './shared.ts';

/** A crowd of callers, each on a connection of its own. */
export class Crowd {
  readonly #agent: Agent;
  readonly #token: string;

  /** @param connections To each origin. */
  constructor(connections: number, token: string) {
    this.#agent = new Agent({ connections, pipelining: 1 });
    this.#token = token;
  }

  /** One of them asks `/v1`, and reads the whole answer. */
  async ask(
    url: string,
    body: { readonly stream: boolean },
  ): Promise<{ readonly cache: string; readonly status: number; readonly said: string | null }> {
    const answer = await send(`${url}/v1/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${this.#token}`, 'content-type': 'application/json' },
      body: JSON.stringify(body),
      dispatcher: this.#agent,
    });
    const said = saidIn(await answer.body.text(), body.stream);
    return { cache: String(answer.headers['x-mizan-cache']), status: answer.statusCode, said };
  }

  async leave(): Promise<void> {
    await this.#agent.close();
  }
}
