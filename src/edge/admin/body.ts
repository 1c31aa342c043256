import type { FastifyRequest } from 'fastify';
import { z } from 'zod';
import { MizanError } from '../../core/errors.ts';
import { JsonDocument } from '../../core/json-document.ts';
import { parseDuration } from '../../core/duration.ts';
import { didYouMean } from '../../core/nearest.ts';

/** A time such as `24h`, or a number of seconds; becomes seconds. */
export const seconds = z.union([z.int().min(0), z.string()]).transform((given, context) => {
  const found = typeof given === 'number' ? given : parseDuration(given);
  if (found !== undefined) return found;
  context.addIssue({ code: 'custom', message: 'no time' });
  return z.NEVER;
});

/** A field that may be left out or `null`, which mean the same. */
export function orNull<S extends z.ZodType>(schema: S) {
  return schema.nullish().transform((value) => value ?? null);
}

/**
 * The body of an administrative request. Where there is none, it counts as `{}`.
 * @param expectations Of every field, what it must be: `must be …`. Of fields in fields, by their paths: `limits.rpm`.
 * @throws MizanError `invalid_json`; `invalid_request`, naming the field.
 */
export function readBody<S extends z.ZodObject>(
  schema: S,
  request: FastifyRequest,
  expectations: Readonly<Record<keyof S['shape'], string>> & Readonly<Record<string, string>>,
): z.output<S> {
  const value = Buffer.isBuffer(request.body) ? JsonDocument.parse(request.body).value : {};
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const { issues } = parsed.error;
  const issue = issues.find(({ code }) => code === 'unrecognized_keys') ?? issues[0];
  if (issue?.code === 'unrecognized_keys') {
    const param = [...issue.path, issue.keys[0] ?? ''].join('.');
    const hint = issue.path.length > 0 ? '' : didYouMean(param, Object.keys(schema.shape));
    throw new MizanError('invalid_request', `There is no field "${param.slice(0, 100)}".${hint}`, { param });
  }
  const path = issue?.path.map(String) ?? [];
  // The innermost that something is said of.
  const depth = path.findLastIndex((_, at) => Object.hasOwn(expectations, path.slice(0, at + 1).join('.')));
  const field = path.slice(0, Math.max(depth, 0) + 1).join('.');
  throw new MizanError('invalid_request', `${field} ${expectations[field] ?? 'is not as expected'}.`, {
    param: path.join('.'),
  });
}
