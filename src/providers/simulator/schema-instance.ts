import type { JsonObject } from '../../core/json-document.ts';
import { Refusal } from './openai-error.ts';
import { matching } from './pattern.ts';

/** More than these is refused, before a schema of a few bytes becomes an answer of gigabytes. */
const deepest = 64;
const mostValues = 10_000;
const mostCharacters = 100_000;

interface Building {
  readonly root: unknown;
  /** The request's field that holds the schema, for refusals. */
  readonly param: string;
  values: number;
  characters: number;
}

/** Where a value stands: how deep, and which one of equals it is. */
interface Place {
  readonly depth: number;
  readonly nth: number;
}

/**
 * A small value that is valid by a JSON Schema (2020-12): required members only, the least of items, the first of
 * choices. Read are types, enum, const, `$ref` inside the schema, anyOf/oneOf/allOf, members, items and the bounds of
 * strings, numbers and arrays.
 * @throws Refusal where no value can be made, naming `param`.
 */
export function instanceOf(schema: unknown, param: string): unknown {
  return build(schema, { root: schema, param, values: 0, characters: 0 }, { depth: 0, nth: 0 });
}

function refuse(building: Building, why: string): Refusal {
  const message = `Invalid schema for '${building.param}': the simulator cannot make a value for it: ${why}.`;
  return new Refusal(400, message, { param: building.param, code: 'invalid_json_schema' });
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

function numberOf(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isFinite(value) ? value : undefined;
}

/** Every value made and every schema looked into counts, so that neither can go on for ever. */
function count(building: Building, depth: number): void {
  if (depth > deepest) throw refuse(building, `it needs more than ${deepest} levels`);
  if (++building.values > mostValues) throw refuse(building, `it needs more than ${mostValues} values`);
}

/** Counts the characters of what becomes part of the answer. */
function write(text: string, building: Building): string {
  building.characters += text.length;
  if (building.characters > mostCharacters) throw refuse(building, `it needs more than ${mostCharacters} characters`);
  return text;
}

/** A value that the schema itself holds. */
function asGiven(value: unknown, building: Building): unknown {
  write(JSON.stringify(value), building);
  return value;
}

function build(given: unknown, building: Building, place: Place): unknown {
  count(building, place.depth);
  if (given === false) throw refuse(building, 'a part of it is `false`, which nothing satisfies');
  if (!isObject(given)) return {};
  const schema = flattened(given, building, 0);
  if ('const' in schema) return asGiven(schema['const'], building);
  const choices = listOf(schema['enum']);
  if (choices.length > 0) return asGiven(choices[place.nth % choices.length], building);
  switch (typeOf(schema)) {
    case 'string':
      return stringFor(schema, building, place);
    case 'integer':
      return numberFor(schema, building, { step: 1, nth: place.nth });
    case 'number':
      return numberFor(schema, building, { step: undefined, nth: place.nth });
    case 'boolean':
      return place.nth % 2 === 0;
    case 'null':
      return null;
    case 'array':
      return arrayFor(schema, building, place);
    default:
      return objectFor(schema, building, place);
  }
}

/** The schema with its `$ref`, `allOf` and the simplest choice of `anyOf` and `oneOf` laid into it. */
function flattened(schema: JsonObject, building: Building, depth: number): JsonObject {
  count(building, depth);
  const { $ref: reference, allOf, anyOf, oneOf, ...own } = schema;
  const parts: unknown[] = [...listOf(allOf)];
  if (typeof reference === 'string') parts.push(resolved(reference, building));
  for (const choices of [listOf(anyOf), listOf(oneOf)]) {
    if (choices.length > 0) parts.push(choices.toSorted((a, b) => weight(a) - weight(b))[0]);
  }
  let merged: JsonObject = own;
  for (const part of parts) {
    if (part === false) throw refuse(building, 'a part of it is `false`, which nothing satisfies');
    if (isObject(part)) merged = together(merged, flattened(part, building, depth + 1));
  }
  return merged;
}

/** Choices that end come before those that may lead back to where they stand. */
function weight(choice: unknown): number {
  if (choice === false) return 3;
  if (!isObject(choice) || '$ref' in choice) return 2;
  return 'properties' in choice || 'items' in choice || 'anyOf' in choice || 'oneOf' in choice ? 1 : 0;
}

function together(a: JsonObject, b: JsonObject): JsonObject {
  const merged: Record<string, unknown> = { ...a, ...b };
  if (isObject(a['properties']) && isObject(b['properties']))
    merged['properties'] = { ...a['properties'], ...b['properties'] };
  if (a['required'] !== undefined && b['required'] !== undefined) {
    merged['required'] = [...new Set([...listOf(a['required']), ...listOf(b['required'])])];
  }
  for (const [bound, better] of bounds) {
    const [one, two] = [numberOf(a[bound]), numberOf(b[bound])];
    if (one !== undefined && two !== undefined) merged[bound] = better(one, two);
  }
  return merged;
}

const bounds: readonly (readonly [string, (a: number, b: number) => number])[] = [
  ...['minimum', 'exclusiveMinimum', 'minLength', 'minItems'].map((name) => [name, Math.max] as const),
  ...['maximum', 'exclusiveMaximum', 'maxLength', 'maxItems'].map((name) => [name, Math.min] as const),
];

function resolved(reference: string, building: Building): unknown {
  if (!reference.startsWith('#')) throw refuse(building, `its reference "${reference.slice(0, 100)}" leads outside`);
  let target: unknown = building.root;
  for (const step of reference.slice(1).split('/').slice(1)) {
    const key = unescaped(step).replaceAll('~1', '/').replaceAll('~0', '~');
    target =
      isObject(target) && Object.hasOwn(target, key)
        ? target[key]
        : Array.isArray(target)
          ? target[Number(key)]
          : undefined;
  }
  if (target === undefined) throw refuse(building, `its reference "${reference.slice(0, 100)}" leads nowhere`);
  return target;
}

function unescaped(step: string): string {
  try {
    return decodeURIComponent(step);
  } catch {
    return step;
  }
}

function typeOf(schema: JsonObject): unknown {
  const types = schema['type'];
  if (Array.isArray(types)) return types.find((type) => type !== 'null') ?? 'null';
  if (types !== undefined) return types;
  if ('items' in schema || 'prefixItems' in schema || 'minItems' in schema) return 'array';
  if ('minimum' in schema || 'maximum' in schema || 'multipleOf' in schema) return 'number';
  if ('pattern' in schema || 'format' in schema || 'minLength' in schema || 'maxLength' in schema) return 'string';
  return 'object';
}

const formats: ReadonlyMap<string, string> = new Map([
  ['date-time', '2026-01-01T00:00:00Z'],
  ['date', '2026-01-01'],
  ['time', '00:00:00Z'],
  ['duration', 'P1D'],
  ['email', 'user@example.com'],
  ['hostname', 'example.com'],
  ['ipv4', '192.0.2.1'],
  ['ipv6', '2001:db8::1'],
  ['uri', 'https://example.com/'],
  ['url', 'https://example.com/'],
  ['uuid', '00000000-0000-4000-8000-000000000000'],
]);

function stringFor(schema: JsonObject, building: Building, place: Place): string {
  const least = numberOf(schema['minLength']) ?? 0;
  const most = Math.min(numberOf(schema['maxLength']) ?? Number.POSITIVE_INFINITY, mostCharacters);
  if (least > most) throw refuse(building, `a string of ${least} to ${most} characters`);
  const format = formats.get(String(schema['format']));
  if (format !== undefined && format.length >= least && format.length <= most) return write(format, building);
  const pattern = schema['pattern'];
  if (typeof pattern === 'string') {
    const text = matching(pattern, least, most);
    if (text === null) throw refuse(building, `no text was found for the pattern ${pattern.slice(0, 100)}`);
    return write(text, building);
  }
  const text = place.nth === 0 ? 'text' : `${place.nth + 1} text`;
  return write(text.padEnd(least, '.').slice(0, most), building);
}

function numberFor(
  schema: JsonObject,
  building: Building,
  how: { readonly step: number | undefined; readonly nth: number },
): number {
  const multiple = numberOf(schema['multipleOf']);
  const step = multiple !== undefined && multiple > 0 ? lcm(multiple, how.step) : how.step;
  const above = numberOf(schema['exclusiveMinimum']) ?? Number.NEGATIVE_INFINITY;
  const below = numberOf(schema['exclusiveMaximum']) ?? Number.POSITIVE_INFINITY;
  const least = Math.max(numberOf(schema['minimum']) ?? Number.NEGATIVE_INFINITY, above);
  const most = Math.min(numberOf(schema['maximum']) ?? Number.POSITIVE_INFINITY, below);
  const fits = (value: number): boolean => value >= least && value <= most && value > above && value < below;
  const nearest = Math.min(Math.max(0, least), most);
  const unit = step ?? 1;
  const grid = [Math.ceil(nearest / unit), Math.floor(nearest / unit)]
    .flatMap((n) => [n, n + 1, n - 1])
    .map((n) => (n + how.nth) * unit);
  const free = step === undefined ? [nearest, (least + most) / 2] : [];
  const value = [...grid, ...free].find(fits);
  if (value === undefined) throw refuse(building, 'no number lies within its bounds');
  return value === 0 ? 0 : value;
}

/** The least number that is a multiple of both; of a fraction and 1, its least whole multiple. */
function lcm(multiple: number, step: number | undefined): number {
  if (step === undefined) return multiple;
  for (let times = 1; times <= 1000; times++) if (Number.isInteger(multiple * times)) return multiple * times;
  return multiple;
}

function arrayFor(schema: JsonObject, building: Building, place: Place): unknown[] {
  const first = listOf(schema['prefixItems']);
  const length = Math.max(
    numberOf(schema['minItems']) ?? 0,
    Math.min(first.length, numberOf(schema['maxItems']) ?? first.length),
  );
  const items: unknown[] = [];
  for (let i = 0; i < length; i++) {
    const schemaOfItem = i < first.length ? first[i] : (schema['items'] ?? true);
    items.push(build(schemaOfItem, building, { depth: place.depth + 1, nth: schema['uniqueItems'] === true ? i : 0 }));
  }
  return items;
}

function objectFor(schema: JsonObject, building: Building, place: Place): JsonObject {
  const properties = isObject(schema['properties']) ? schema['properties'] : {};
  const members = listOf(schema['required'])
    .filter((name) => typeof name === 'string')
    .map((name) => {
      const schemaOfMember = Object.hasOwn(properties, name)
        ? properties[name]
        : (schema['additionalProperties'] ?? true);
      write(name, building);
      return [name, build(schemaOfMember, building, { depth: place.depth + 1, nth: place.nth })] as const;
    });
  return Object.fromEntries(members);
}
