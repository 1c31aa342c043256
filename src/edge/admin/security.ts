import type { FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { MizanError } from '../../core/errors.ts';
import { JsonDocument } from '../../core/json-document.ts';
import { didYouMean } from '../../core/nearest.ts';
import { AISecurity } from '../../security/ai-security.ts';
import type { EdgeContext } from '../http/context.ts';

const context = z.string().min(1).max(1000).nullish();
const encryption = z.strictObject({ data: z.json(), context });
const decryption = z.strictObject({ token: z.string().min(1), context });

/** How long callers may keep the server's public keys, in seconds; they open a day longer than they are published. */
const keptFor = 300;

/** `POST /api/security/encrypt`: data in, JWE out, with the key of the caller's tenant. */
export async function encryptData(edge: EdgeContext, request: FastifyRequest): Promise<unknown> {
  const given = bodyOf(request, encryption);
  const token = await securityOf(edge, request).encryptData(given.data, optionsOf(given));
  return { token };
}

/** `POST /api/security/decrypt`: the other way. Bytes come in base64, and say so. */
export async function decryptData(edge: EdgeContext, request: FastifyRequest): Promise<unknown> {
  const given = bodyOf(request, decryption);
  const data = await securityOf(edge, request).decryptData(given.token, optionsOf(given));
  if (!(data instanceof Uint8Array)) return { data };
  return { data: Buffer.from(data).toString('base64'), encoding: 'base64' };
}

/** `GET /.well-known/jwks.json`: whom to encrypt requests to (RFC 7517). */
export async function publishKeys(edge: EdgeContext, _request: FastifyRequest, reply: FastifyReply): Promise<unknown> {
  void reply.header('cache-control', `public, max-age=${keptFor}`);
  return edge.messages.published();
}

function securityOf(edge: EdgeContext, request: FastifyRequest): AISecurity {
  return new AISecurity({ keyRing: edge.messages.ringOf(request.principal.tenant) });
}

function optionsOf(given: { readonly context?: string | null | undefined }): { readonly context?: string } {
  return typeof given.context === 'string' ? { context: given.context } : {};
}

function bodyOf<S extends z.ZodObject>({ body }: FastifyRequest, schema: S): z.output<S> {
  if (!Buffer.isBuffer(body)) throw new MizanError('invalid_json', 'There is no body; send a JSON object.');
  const parsed = schema.safeParse(JsonDocument.parse(body).value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  if (issue?.code === 'unrecognized_keys') {
    const key = issue.keys[0] ?? '';
    const hint = didYouMean(key, Object.keys(schema.shape));
    throw new MizanError('invalid_request', `There is no field "${key.slice(0, 100)}".${hint}`, { param: key });
  }
  const param = String(issue?.path[0] ?? '');
  const expected = param === 'context' ? 'must be a text of 1 to 1000 characters' : 'is missing or not as expected';
  throw new MizanError('invalid_request', `${param} ${expected}.`, { param });
}
