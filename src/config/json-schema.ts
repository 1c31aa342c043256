import { z } from 'zod';
import { fileSchema, simulatorProviderSchema, upstreamProviderSchema } from './schema.ts';

type Json = Record<string, unknown>;

/** A text with a variable in it may stand for every scalar; what it expands to is checked at start. */
const variablePattern = '\\$\\{[A-Za-z_][A-Za-z0-9_]*(:-[^}]*)?\\}';

function isRestricted(schema: Json): boolean {
  const { type } = schema;
  if (type === 'number' || type === 'integer' || type === 'boolean') return true;
  return type === 'string' && ['enum', 'pattern', 'format'].some((keyword) => keyword in schema);
}

function orVariable(schema: Json): Json {
  const { description, default: fallback, ...rest } = schema;
  return {
    ...(description === undefined ? {} : { description }),
    ...(fallback === undefined ? {} : { default: fallback }),
    anyOf: [rest, { type: 'string', pattern: variablePattern }],
  };
}

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Lets variables stand wherever a value is described; the names of keys (`propertyNames`) are none. */
function withVariables(schema: unknown): unknown {
  if (!isObject(schema)) return schema;
  const copy: Json = { ...schema };
  for (const keyword of ['items', 'additionalProperties']) {
    if (keyword in copy) copy[keyword] = withVariables(copy[keyword]);
  }
  for (const keyword of ['anyOf', 'oneOf']) {
    const branches = copy[keyword];
    if (Array.isArray(branches)) copy[keyword] = branches.map(withVariables);
  }
  if (isObject(copy['properties'])) {
    const properties = Object.entries(copy['properties']);
    copy['properties'] = Object.fromEntries(properties.map(([key, value]) => [key, withVariables(value)]));
  }
  return isRestricted(copy) ? orVariable(copy) : copy;
}

/** The JSON Schema (draft 2020-12) of `mizan.yaml`, for editors: what may be written, with a word on every key. */
export function configJsonSchema(): Readonly<Record<string, unknown>> {
  const schema = z.toJSONSchema(fileSchema, {
    target: 'draft-2020-12',
    io: 'input',
    override: ({ zodSchema, jsonSchema }) => {
      const isProvider = zodSchema === upstreamProviderSchema || zodSchema === simulatorProviderSchema;
      // A provider's name may say its kind, so that it is not required, and an entry may fit both.
      if (isProvider) delete jsonSchema.required;
      if (jsonSchema.oneOf !== undefined) {
        jsonSchema.anyOf = jsonSchema.oneOf;
        delete jsonSchema.oneOf;
      }
    },
  });
  const { $schema, ...rest } = withVariables(schema) as Json;
  return { $schema, title: 'mizan.yaml', ...rest };
}
