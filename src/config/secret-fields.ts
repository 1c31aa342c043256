import type { z } from 'zod';
import { isKeptSecret } from './fields.ts';
import type { Path } from './places.ts';
import { fileSchema } from './schema.ts';

/** What any name, or any number, may stand for. */
const any = '*';

/** The fields below `schema` whose values become secrets, from `path` on. */
function* secretsBelow(schema: z.core.$ZodType, path: readonly string[]): Generator<readonly string[]> {
  if (isKeptSecret(schema)) {
    yield path;
    return;
  }
  const { def } = (schema as z.core.$ZodTypes)._zod;
  switch (def.type) {
    case 'object':
      for (const [key, field] of Object.entries(def.shape)) yield* secretsBelow(field, [...path, key]);
      break;
    case 'record':
      yield* secretsBelow(def.valueType, [...path, any]);
      break;
    case 'array':
      yield* secretsBelow(def.element, [...path, any]);
      break;
    case 'union':
      for (const option of def.options) yield* secretsBelow(option, path);
      break;
    case 'pipe':
      yield* secretsBelow(def.in, path);
      yield* secretsBelow(def.out, path);
      break;
    case 'default':
    case 'prefault':
    case 'optional':
    case 'nullable':
      yield* secretsBelow(def.innerType, path);
      break;
    default:
  }
}

let found: readonly (readonly string[])[] | undefined;

function fields(): readonly (readonly string[])[] {
  return (found ??= [...secretsBelow(fileSchema, [])]);
}

/** Whether what stands there is kept secret once it is read. */
export function isSecretPlace(path: Path): boolean {
  const isAt = (field: readonly string[]): boolean =>
    field.length === path.length && field.every((step, i) => step === any || step === path[i]);
  return fields().some(isAt);
}

/** Whether a stored secret may stand there: not in what has to be known before stored secrets can be read. */
export function takesStoredSecret(path: Path): boolean {
  return path[0] !== 'security' && path[0] !== 'database' && isSecretPlace(path);
}

/** All places where one may, in words and in their order. */
export function secretPlaces(): string[] {
  return fields()
    .filter((field) => takesStoredSecret(field))
    .map((field) => field.join('.'))
    .toSorted();
}
