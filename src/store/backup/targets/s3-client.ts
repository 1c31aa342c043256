import { createHash } from 'node:crypto';
import { setTimeout as wait } from 'node:timers/promises';
import { AwsV4Signer } from 'aws4fetch';
import type { Agent, buildConnector, Dispatcher } from 'undici';
import type { S3Settings } from '../../../core/backups.ts';
import { MizanError } from '../../../core/errors.ts';
import { EgressGuard } from '../../../egress/guard.ts';
import { egressRules } from '../../../egress/rules.ts';

export interface S3Call {
  readonly method: 'GET' | 'PUT' | 'POST' | 'DELETE' | 'HEAD';
  /** Of the object; `''` for the bucket. */
  readonly key: string;
  readonly query?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array;
}

type Answer = Dispatcher.ResponseData;

const tries = 4;
const firstPauseMs = 300;
/** Statuses that say nothing about the next try. */
const passing = new Set([429, 500, 502, 503, 504]);
/** In ms. */
const timeouts = { connectMs: 10_000, answer: { headersTimeout: 60_000, bodyTimeout: 60_000 } };

/** Calls S3's REST interface, signed with Signature Version 4; bodies are signed with what they hold. */
export class S3Client {
  readonly #settings: S3Settings;
  readonly #connect: buildConnector.connector;
  #dispatcher: Agent | null = null;

  constructor(settings: S3Settings) {
    this.#settings = settings;
    const { origin } = new URL(this.#urlOf({ method: 'GET', key: '' }));
    const guard = new EgressGuard(egressRules(settings.egressAllow));
    this.#connect = guard.connector({ origin, namedBy: 'config', timeoutMs: timeouts.connectMs });
  }

  /**
   * The answer, whose body has to be read; tried again where the service is busy or can't be reached.
   * @throws MizanError `upstream_error` with the service's own words, where it refuses or can't be reached.
   */
  async call(call: S3Call): Promise<Answer> {
    for (let n = 1; ; n++) {
      const answer = await this.#once(call).catch((error: unknown) => error as Error);
      if (!(answer instanceof Error) && answer.statusCode < 300) return answer;
      const isPassing = answer instanceof Error || passing.has(answer.statusCode);
      if (!isPassing || n === tries) throw await failure(call, this.#settings, answer);
      if (!(answer instanceof Error)) await answer.body.dump();
      await wait(firstPauseMs * 2 ** (n - 1));
    }
  }

  /** The answer's body as text. */
  async text(call: S3Call): Promise<string> {
    return (await this.call(call)).body.text();
  }

  async #once(call: S3Call): Promise<Answer> {
    const body = call.body ?? new Uint8Array();
    const { url, headers } = await new AwsV4Signer({
      method: call.method,
      url: this.#urlOf(call),
      headers: { 'x-amz-content-sha256': createHash('sha256').update(body).digest('hex') },
      accessKeyId: this.#settings.accessKeyId,
      secretAccessKey: this.#settings.secretAccessKey.reveal(),
      service: 's3',
      region: this.#settings.region,
    }).sign();
    const sent: Record<string, string> = Object.fromEntries(headers);
    delete sent['host'];
    const undici = await import('undici');
    this.#dispatcher ??= new undici.Agent({ connect: this.#connect, ...timeouts.answer });
    return undici.request(url, {
      method: call.method,
      headers: sent,
      body: call.method === 'PUT' || call.method === 'POST' ? body : null,
      dispatcher: this.#dispatcher,
    });
  }

  #urlOf({ key, query = {} }: S3Call): string {
    const { endpoint, bucket, forcePathStyle } = this.#settings;
    const url = new URL(endpoint);
    if (!forcePathStyle) url.hostname = `${bucket}.${url.hostname}`;
    const path = forcePathStyle ? `${bucket}/${key}` : key;
    url.pathname = `${url.pathname.replace(/\/$/, '')}/${path.replace(/\/$/, '')}`;
    for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value);
    return url.href;
  }
}

/** The texts of all elements of that name, in their order. Enough for S3's flat lists, whose keys come URL-encoded. */
export function elements(xml: string, name: string): string[] {
  return Array.from(xml.matchAll(new RegExp(`<${name}>([^<]*)</${name}>`, 'g')), ([, text = '']) => plain(text));
}

function plain(text: string): string {
  return text
    .replaceAll('&quot;', '"')
    .replaceAll('&#34;', '"')
    .replaceAll('&lt;', '<')
    .replaceAll('&gt;', '>')
    .replaceAll('&amp;', '&');
}

async function failure(call: S3Call, { endpoint, bucket }: S3Settings, answer: Answer | Error): Promise<MizanError> {
  const what = `${call.method} ${bucket}/${call.key}`;
  if (answer instanceof Error) {
    return new MizanError('upstream_error', `${endpoint} can't be reached (${what}): ${answer.message}`, {
      cause: answer,
    });
  }
  const xml = await answer.body.text();
  const words = [...elements(xml, 'Code'), ...elements(xml, 'Message')].join(': ') || 'no reason given';
  return new MizanError(
    'upstream_error',
    `${endpoint} answers ${what} with ${answer.statusCode}: ${words.slice(0, 300)}`,
  );
}
