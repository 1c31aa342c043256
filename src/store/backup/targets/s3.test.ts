import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { temporaryFolder } from '../../../../test/support/folder.ts';
import type { S3Server } from '../../../../test/support/s3.ts';
import { startS3 } from '../../../../test/support/s3.ts';
import { Secret } from '../../../core/secret.ts';
import type { Progress } from '../contract.ts';
import { backupName } from '../name.ts';
import type { S3Settings } from '../../../core/backups.ts';
import { listBackups } from '../settings.ts';
import { folderTarget } from './folder.ts';
import { s3Target } from './s3.ts';

let server: S3Server;

beforeAll(async () => {
  server = await startS3();
});

afterAll(() => server.end());

const mib = 1024 * 1024;

function fileOf(bytes: Uint8Array): string {
  const file = join(temporaryFolder(), 'file');
  writeFileSync(file, bytes);
  return file;
}

test('a small backup is kept, listed, fetched and removed', async () => {
  const target = s3Target(server.settings('small/'));
  const name = backupName(Date.UTC(2026, 10, 24));
  const bytes = randomBytes(100_000);
  expect(await target.list()).toEqual([]);
  expect(await target.keep(fileOf(bytes), name, () => {})).toBe(`s3://backups/small/${name}`);
  expect(await target.list()).toEqual([{ name, createdAt: Date.UTC(2026, 10, 24), bytes: bytes.length }]);
  const fetched = await target.bring(name, temporaryFolder(), () => {});
  expect(readFileSync(fetched).equals(bytes)).toBe(true);
  await target.remove(name);
  expect(await target.list()).toEqual([]);
});

test('a large one goes up in parts, and comes back whole', async () => {
  const target = s3Target(server.settings('large/'), 5 * mib);
  const name = backupName(Date.UTC(2026, 10, 24));
  const bytes = randomBytes(12 * mib);
  const seen: Progress[] = [];
  await target.keep(fileOf(bytes), name, (progress) => seen.push(progress));
  expect(seen.map(({ done }) => done)).toEqual([5 * mib, 10 * mib, 12 * mib, 12 * mib]);
  expect((await target.list()).map((backup) => backup.bytes)).toEqual([bytes.length]);
  expect(readFileSync(await target.bring(name, temporaryFolder(), () => {})).equals(bytes)).toBe(true);
});

test('other things in the bucket are left alone', async () => {
  const target = s3Target(server.settings('many/'));
  const file = fileOf(Buffer.from('x'));
  const names = Array.from({ length: 3 }, (_, i) => backupName(Date.UTC(2026, 0, i + 1)));
  for (const name of [...names, 'notes.txt', 'deep/er']) await target.keep(file, name, () => {});
  expect((await target.list()).map(({ name }) => name)).toEqual(names.toReversed());
  expect(await s3Target(server.settings('man')).list()).toEqual([]);
});

test('a wrong key and a bucket that is not there are told in the service’s own words, without the key', async () => {
  const settings = server.settings('x/');
  const wrong = s3Target({ ...settings, secretAccessKey: new Secret('not-the-key') });
  await expect(wrong.list()).rejects.toMatchObject({
    code: 'upstream_error',
    message: expect.stringMatching(/SignatureDoesNotMatch/) as string,
  });
  await expect(wrong.list()).rejects.not.toThrow('not-the-key');
  await expect(s3Target({ ...settings, bucket: 'nowhere' }).list()).rejects.toThrow(/NoSuchBucket/);
});

/** A service that answers as it is told; the server above knows neither pages nor trouble. */
async function answering(answer: (url: URL) => { readonly status: number; readonly xml: string }): Promise<S3Settings> {
  const service = createServer((request, response) => {
    const { status, xml } = answer(new URL(request.url ?? '', 'http://localhost'));
    response.statusCode = status;
    response.end(xml);
  }).listen(0, '127.0.0.1');
  onTestFinished(() => void service.close());
  await once(service, 'listening');
  const { port } = service.address() as AddressInfo;
  return { ...server.settings('p/'), endpoint: `http://127.0.0.1:${port}` };
}

test('a long list comes in pages', async () => {
  const names = Array.from({ length: 3 }, (_, i) => backupName(Date.UTC(2026, 0, i + 1)));
  const settings = await answering(({ searchParams }) => {
    const page = Number(searchParams.get('continuation-token') ?? 0);
    const next = page < 2 ? `<NextContinuationToken>${page + 1}</NextContinuationToken>` : '';
    const content = `<Contents><Key>p%2F${names[page]}</Key><Size>${page}</Size></Contents>`;
    return { status: 200, xml: `<ListBucketResult>${content}${next}</ListBucketResult>` };
  });
  expect((await s3Target(settings).list()).map(({ name, bytes }) => [name, bytes])).toEqual([
    [names[2], 2],
    [names[1], 1],
    [names[0], 0],
  ]);
});

test('parts that a killed upload left are given up before the next', async () => {
  const seen: string[] = [];
  const name = backupName(0);
  const settings = await answering((url) => {
    seen.push(url.search);
    const old = `<Upload><Key>p%2F${name}</Key><UploadId>old</UploadId></Upload>`;
    const other = '<Upload><Key>p%2Fnotes</Key><UploadId>other</UploadId></Upload>';
    return { status: 200, xml: url.searchParams.has('uploads') ? `<R>${old}${other}</R>` : '' };
  });
  await s3Target(settings).keep(fileOf(Buffer.from('x')), name, () => {});
  expect(seen.filter((search) => search.startsWith('?uploadId='))).toEqual(['?uploadId=old']);
});

test('a service that is busy for a moment is asked again', async () => {
  let calls = 0;
  const settings = await answering(() => ({ status: ++calls < 3 ? 503 : 200, xml: '<ListBucketResult/>' }));
  expect(await s3Target(settings).list()).toEqual([]);
  expect(calls).toBe(3);
});

test('a bucket that can’t be asked hides nothing of the other places', async () => {
  const folder = temporaryFolder();
  const name = backupName(0);
  writeFileSync(join(folder, name), 'x');
  const broken = s3Target({ ...server.settings(''), bucket: 'nowhere' });
  const { backups, problems } = await listBackups([folderTarget(folder), broken]);
  expect(backups.map((backup) => backup.name)).toEqual([name]);
  expect(problems).toEqual([{ target: 's3://nowhere/', error: expect.stringMatching(/NoSuchBucket/) as string }]);
});
