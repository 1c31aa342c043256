import { z } from 'zod';
import { baseUrl, integer, secret, text } from './fields.ts';

const keepError = 'expected a number of backups from 1 to 10000, or daily, weekly and monthly';

const keepSchema = z.union(
  [
    integer(1, 10_000),
    z.strictObject({
      daily: integer(0, 10_000).default(7).describe('The newest of each of the last so many days that have one.'),
      weekly: integer(0, 10_000).default(4).describe('Likewise of weeks, from Monday.'),
      monthly: integer(0, 10_000).default(12).describe('Likewise of months.'),
    }),
  ],
  { error: keepError },
);

const prefixError = 'expected letters, digits and "!_.*\'()/-", without a "/" at the beginning';

const s3Schema = z.strictObject({
  endpoint: baseUrl.describe('Where the service is: https://s3.eu-central-1.amazonaws.com.'),
  bucket: z
    .string()
    .regex(/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/, { error: 'expected the name of a bucket' })
    .describe('The bucket; it has to be there.'),
  region: text('a region').default('us-east-1').describe('The region that requests are signed for.'),
  prefix: z
    .string({ error: prefixError })
    .regex(/^(?:[\w!.*'()-][\w!.*'()/-]{0,499})?$/, { error: prefixError })
    .transform((prefix) => (prefix === '' || prefix.endsWith('/') ? prefix : `${prefix}/`))
    .default('')
    .describe('Before every name in the bucket; each Mizan needs its own.'),
  accessKeyId: text('the id of an access key').describe('Which key signs. Best as "${NAME}".'),
  secretAccessKey: secret(1)
    .transform((value, context) => {
      if (value !== null) return value;
      context.addIssue({ code: 'custom', message: 'expected the secret of the access key' });
      return z.NEVER;
    })
    .describe('The key itself. Best as "${NAME}".'),
  forcePathStyle: z
    .boolean({ error: 'expected true or false' })
    .default(false)
    .describe('endpoint/bucket/… and not bucket.endpoint/…; most services of one’s own need it.'),
});

export const backupSchema = z.strictObject({
  dir: z
    .string({ error: 'expected a folder' })
    .default('')
    .describe('The folder; empty for backups/ in the data folder.'),
  keep: keepSchema.default(8).describe('How many stay: the newest so many, or so many days, weeks and months.'),
  s3: s3Schema.exactOptional().describe('An S3-compatible service that every backup is copied to.'),
});
