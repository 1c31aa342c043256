import { z } from 'zod';
import { isTimeZone } from '../core/period.ts';
import { Secret } from '../core/secret.ts';
import { isAllowEntry } from '../egress/rules.ts';

/** Names become label values and parts of URLs. */
const namePattern = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;

const nameError = 'expected a name of 1 to 64 letters, digits, ".", "_" or "-" that begins with a letter or digit';

/** Every message of these fields begins with `expected`; what was found is added where it may be shown. */
export const name = z.string({ error: nameError }).regex(namePattern, { error: nameError });

/** A string with something in it. */
export function text(what = 'a non-empty string'): z.ZodString {
  const error = `expected ${what}`;
  return z.string({ error }).min(1, { error });
}

export function integer(min: number, max: number, unit = ''): z.ZodInt {
  const error = `expected a whole number${unit === '' ? '' : ` of ${unit}`} from ${min} to ${max}`;
  return z.int({ error }).min(min, { error }).max(max, { error });
}

/** A time in ms that a timer can hold: at most a day. */
export function milliseconds(min = 1): z.ZodInt {
  return integer(min, 86_400_000, 'milliseconds');
}

const secretFields = new WeakSet<z.core.$ZodType>();

/** Notes that what is read by `schema` is kept secret. */
export function keptSecret<S extends z.core.$ZodType>(schema: S): S {
  secretFields.add(schema);
  return schema;
}

/** Whether `keptSecret` was said of it. */
export function isKeptSecret(schema: z.core.$ZodType): boolean {
  return secretFields.has(schema);
}

/** From a string to a `Secret`; from `''` to none. */
function intoSecret() {
  return keptSecret(z.transform((value: string) => (value === '' ? null : new Secret(value))));
}

/** A string that becomes a `Secret`; `''` is none. */
export function secret(minBytes = 0) {
  const error = minBytes === 0 ? 'expected a string' : `expected at least ${minBytes} bytes`;
  return z
    .string({ error })
    .refine((value) => value === '' || Buffer.byteLength(value) >= minBytes, { error })
    .pipe(intoSecret());
}

const keyError = 'expected a key: printable ASCII, without spaces or line breaks';

/** An API key as it goes into a header; `''` is none. */
export const apiKey = z
  .string({ error: keyError })
  .regex(/^[\x21-\x7e]*$/, { error: keyError })
  .pipe(intoSecret());

const units: Readonly<Record<string, number>> = {
  B: 1,
  KB: 1000,
  MB: 1000 ** 2,
  GB: 1000 ** 3,
  KIB: 1024,
  MIB: 1024 ** 2,
  GIB: 1024 ** 3,
};

const sizePattern = /^(\d{1,16}) ?(B|[KkMG]i?B)?$/;

/** `10MiB`, `64KB`, `4096`: the number of bytes, or `undefined` if it is no size. */
export function parseSize(written: string): number | undefined {
  const [, digits, unit = 'B'] = sizePattern.exec(written) ?? [];
  const factor = units[unit.toUpperCase()];
  return digits === undefined || factor === undefined ? undefined : Number(digits) * factor;
}

/** A number of bytes, or a string such as `10MiB`; becomes a number of bytes. */
export function size(minBytes: number, maxBytes: number, range: string) {
  const error = `expected a size such as "10MiB", from ${range}`;
  return z.union([z.int(), z.string().regex(sizePattern, { error })], { error }).transform((value, context) => {
    const bytes = typeof value === 'number' ? value : (parseSize(value) ?? Number.NaN);
    if (bytes >= minBytes && bytes <= maxBytes) return bytes;
    context.addIssue({ code: 'custom', message: error });
    return z.NEVER;
  });
}

function urlOf(value: string): URL | undefined {
  return URL.canParse(value) ? new URL(value) : undefined;
}

/** An `http` or `https` URL that holds nothing but a place; slashes at its end are dropped. */
export const baseUrl = z
  .string({ error: 'expected an http or https URL' })
  .superRefine((value, context) => {
    const url = urlOf(value);
    if (url === undefined || (url.protocol !== 'http:' && url.protocol !== 'https:')) {
      context.addIssue({ code: 'custom', message: 'expected an http or https URL' });
    } else if (url.username !== '' || url.password !== '') {
      context.addIssue({ code: 'custom', message: 'a URL with credentials in it; they belong in apiKey or headers' });
    } else if (value.includes('?') || value.includes('#')) {
      context.addIssue({ code: 'custom', message: 'expected a URL without a query or fragment' });
    }
  })
  .transform((value) => value.replace(/\/+$/, ''));

const egressError = 'expected an address, a range such as 10.0.0.0/8, a host, or *.example.com';

/** What may be connected to though it is not public. */
export const egressEntry = z.string({ error: egressError }).refine(isAllowEntry, { error: egressError });

/** A `redis` or `rediss` URL, or `''`. */
export const redisUrl = secret().refine(
  (value) => value === null || /^rediss?:$/.test(urlOf(value.reveal())?.protocol ?? ''),
  { error: 'expected a redis:// or rediss:// URL, or nothing' },
);

/** An `http` or `https` URL that may hold a secret of its own, or `''`. */
export const webhookUrl = secret().refine(
  (value) => value === null || /^https?:$/.test(urlOf(value.reveal())?.protocol ?? ''),
  { error: 'expected an http:// or https:// URL, or nothing' },
);

/** A `postgres` or `postgresql` URL, or `''`. */
export const databaseUrl = secret().refine(
  (value) => value === null || /^postgres(?:ql)?:$/.test(urlOf(value.reveal())?.protocol ?? ''),
  { error: 'expected a postgres:// URL, or nothing for SQLite in the data folder' },
);

const timeZoneError = 'expected a time zone such as "Asia/Riyadh"';

/** A time zone that this machine's `Intl` knows. */
export const timeZone = z.string({ error: timeZoneError }).superRefine((zone, context) => {
  if (isTimeZone(zone)) return;
  const known = ['UTC', ...Intl.supportedValuesOf('timeZone')];
  context.addIssue({ code: 'custom', message: timeZoneError, params: { known } });
});
