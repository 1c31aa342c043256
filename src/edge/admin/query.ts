import type { FastifyRequest } from 'fastify';
import type { z } from 'zod';
import { MizanError } from '../../core/errors.ts';
import { didYouMean } from '../../core/nearest.ts';

/**
 * A request's query, by a schema. `?agent=&status=` is how forms send what was not filled in: that is absent.
 * @param expectations What each parameter must be, as the rest of a sentence.
 * @throws MizanError `invalid_request`, which names the parameter.
 */
export function readQuery<T extends z.ZodObject>(
  schema: T,
  expectations: Readonly<Record<string, string>>,
  request: FastifyRequest,
): z.output<T> {
  const given = Object.entries(request.query as Record<string, unknown>).filter(([, value]) => value !== '');
  const parsed = schema.safeParse(Object.fromEntries(given));
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  if (issue?.code === 'unrecognized_keys') {
    const param = issue.keys[0] ?? '';
    const known = Object.keys(schema.shape);
    const hint = didYouMean(param, known) || ` Known here: ${known.length === 0 ? 'none' : known.join(', ')}.`;
    throw new MizanError('invalid_request', `There is no query parameter "${param.slice(0, 100)}".${hint}`, { param });
  }
  const param = String(issue?.path[0] ?? '');
  throw new MizanError('invalid_request', `${param} ${expectations[param] ?? 'is not as expected'}.`, { param });
}
