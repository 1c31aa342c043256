import { describe, expect, test } from 'vitest';
import { backupSchema } from './backup-schema.ts';

const s3 = {
  endpoint: 'https://s3.example.com/',
  bucket: 'our-backups',
  accessKeyId: 'id',
  secretAccessKey: 'key',
};

test('eight backups stay, in the data folder, where nothing is said', () => {
  expect(backupSchema.parse({})).toEqual({ dir: '', keep: 8 });
});

test('a rule by days, weeks and months has its defaults', () => {
  expect(backupSchema.parse({ keep: {} }).keep).toEqual({ daily: 7, weekly: 4, monthly: 12 });
  expect(backupSchema.parse({ keep: { monthly: 3 } }).keep).toEqual({ daily: 7, weekly: 4, monthly: 3 });
});

test('a prefix is a folder, and a key is a secret', () => {
  const parsed = backupSchema.parse({ s3: { ...s3, prefix: 'mizan' } }).s3!;
  expect(parsed).toMatchObject({ endpoint: 'https://s3.example.com', prefix: 'mizan/', region: 'us-east-1' });
  expect(JSON.stringify(parsed)).not.toContain('"key"');
  expect(parsed.secretAccessKey.reveal()).toBe('key');
  expect(backupSchema.parse({ s3 }).s3!.prefix).toBe('');
});

describe('is refused:', () => {
  test.each([
    ['keeping none', { keep: 0 }],
    ['a rule with an unknown period', { keep: { hourly: 3 } }],
    ['a bucket that is none', { s3: { ...s3, bucket: 'No/Bucket' } }],
    ['a prefix from the root', { s3: { ...s3, prefix: '/mizan' } }],
    ['a service without a key', { s3: { ...s3, secretAccessKey: '' } }],
    ['a service without a place', { s3: { ...s3, endpoint: 'ftp://example.com' } }],
  ])('%s', (_, value) => {
    expect(backupSchema.safeParse(value).success).toBe(false);
  });
});
