import type { JsonDocument, JsonObject } from './json-document.ts';
import { valueOfJsonWith } from './json-text.ts';

/** A number that a double can't hold as it is written, in a form that is the same however it is written. */
class ExactNumber {
  readonly form: string;

  constructor(form: string) {
    this.form = form;
  }
}

/**
 * Where a number may be one that a double can't tell from its neighbours: from 16 digits on, or beyond 10⁹⁹. Finds
 * digits inside of strings, too, which costs time and nothing else.
 */
const risky = /[\d.]{16}|\d[eE][+-]?\d{3}/;

/** The members of a document, with every number as {@link canonicalJson} can tell it from all others. */
export function exactValue(document: JsonDocument): JsonObject {
  if (!risky.test(document.text)) return document.value;
  return valueOfJsonWith(document.text, exactNumber) as JsonObject;
}

/**
 * One text for all ways to write the same value: keys in the order of their code units, no white space, numbers by
 * what they are (`1`, `1.0` and `1e0` are one, `0` and `-0` are two), strings by their code units. Two values of one text
 * are the same; in the manner of RFC 8785, but exact beyond what a double can hold.
 */
export function canonicalJson(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value);
  if (typeof value === 'number') return Object.is(value, -0) ? '-0' : String(value);
  if (typeof value !== 'object' || value === null) return String(value);
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`;
  if (value instanceof ExactNumber) return value.form;
  const members = value as JsonObject;
  let text = '{';
  for (const key of Object.keys(members).toSorted()) {
    const member = members[key];
    if (member !== undefined) text += `${text.length === 1 ? '' : ','}${JSON.stringify(key)}:${canonicalJson(member)}`;
  }
  return `${text}}`;
}

/** A number where a double holds it exactly as it is written, else what it is in digits. */
function exactNumber(written: string): number | ExactNumber {
  const value = Number(written);
  const form = decimalOf(written);
  return Number.isFinite(value) && decimalOf(String(value)) === form ? value : new ExactNumber(form);
}

/** An exponent with more characters is left as it is written. */
const maxExponent = 15;

/** Sign, digits without zeros at either end, and the power of ten that they are multiplied with. */
function decimalOf(written: string): string {
  const [, sign = '', whole = '', fraction = '', exponent = '0'] =
    /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/.exec(written) ?? [];
  if (exponent.length > maxExponent) return written;
  const digits = whole + fraction;
  let start = 0;
  let end = digits.length;
  // No regular expression: on many zeros, one that looks for the end would take their square.
  while (start < end && digits[start] === '0') start++;
  while (end > start && digits[end - 1] === '0') end--;
  if (start === end) return `${sign}0`;
  return `${sign}${digits.slice(start, end)}e${Number(exponent) - fraction.length + digits.length - end}`;
}
