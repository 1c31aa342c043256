import OpenAI from 'openai';
import type { Running } from './mizan.ts';

/** A model of the configuration whose instances are the models of these names of the provider `mock`. */
export function mocked(...models: readonly string[]): object {
  return { instances: models.map((model, i) => ({ id: `mock-${i}`, provider: 'mock', model })) };
}

/** The official client, as who has such a token. It tries nothing again. */
export async function clientOf(mizan: Running, grant: Parameters<Running['token']>[0] = {}): Promise<OpenAI> {
  return new OpenAI({ baseURL: `${mizan.url}/v1`, apiKey: await mizan.token(grant), maxRetries: 0 });
}
