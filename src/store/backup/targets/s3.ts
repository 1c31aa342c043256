import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { MizanError } from '../../../core/errors.ts';
import type { BackupTarget, OnProgress, StoredBackup } from '../contract.ts';
import { damaged } from '../manifest.ts';
import { newestFirst, timeOfName } from '../name.ts';
import type { S3Settings } from '../../../core/backups.ts';
import { elements, S3Client } from './s3-client.ts';

/** What is sent at a time, in bytes, and held in memory. S3 wants at least 5 MiB, and at most 10,000 parts. */
const defaultPartBytes = 16 * 1024 * 1024;
const mostParts = 9000;

/** A prefix in a bucket for the backups of one Mizan. An object is there with all its bytes, or not at all. */
export function s3Target(settings: S3Settings, leastPartBytes = defaultPartBytes): BackupTarget {
  const client = new S3Client(settings);
  const keyOf = (name: string): string => `${settings.prefix}${name}`;
  const listed = (query: Record<string, string>): Promise<string> =>
    client.text({ method: 'GET', key: '', query: { prefix: settings.prefix, 'encoding-type': 'url', ...query } });

  async function list(): Promise<StoredBackup[]> {
    const backups: StoredBackup[] = [];
    let token: string | undefined;
    do {
      const xml = await listed({ 'list-type': '2', ...(token === undefined ? {} : { 'continuation-token': token }) });
      const sizes = elements(xml, 'Size');
      for (const [i, key] of elements(xml, 'Key').entries()) {
        const name = decodeURIComponent(key).slice(settings.prefix.length);
        const createdAt = timeOfName(name);
        if (createdAt !== undefined) backups.push({ name, createdAt, bytes: Number(sizes[i]) });
      }
      token = elements(xml, 'NextContinuationToken')[0];
    } while (token !== undefined);
    return backups.toSorted(newestFirst);
  }

  async function upload(file: string, name: string, onProgress: OnProgress): Promise<void> {
    const key = keyOf(name);
    const handle = await open(file, 'r');
    try {
      const { size } = await handle.stat();
      const partBytes = Math.max(leastPartBytes, Math.ceil(size / mostParts));
      const read = async (from: number): Promise<Buffer> => {
        const buffer = Buffer.allocUnsafe(Math.min(partBytes, size - from));
        const { bytesRead } = await handle.read(buffer, 0, buffer.length, from);
        if (bytesRead !== buffer.length) throw damaged('its file became shorter while it was uploaded');
        return buffer;
      };
      if (size <= partBytes) await client.text({ method: 'PUT', key, body: await read(0) });
      else await uploadInParts(client, key, { size, partBytes, read, onProgress });
      onProgress({ step: 'uploading', done: size, total: size });
    } finally {
      await handle.close();
    }
  }

  return {
    label: `s3://${settings.bucket}/${settings.prefix}`,
    kind: 's3',
    list,
    draft: async (name, work) => join(work, name),
    async keep(file, name, onProgress) {
      await abandonOld(client, settings.prefix, listed);
      await upload(file, name, onProgress);
      return `s3://${settings.bucket}/${keyOf(name)}`;
    },
    async bring(name, work, onProgress) {
      const path = join(work, name);
      const answer = await client.call({ method: 'GET', key: keyOf(name) });
      const total = Number(answer.headers['content-length'] ?? 0);
      const file = await open(path, 'w', 0o600);
      try {
        let done = 0;
        for await (const chunk of answer.body as AsyncIterable<Buffer>) {
          await file.writeFile(chunk);
          done += chunk.length;
          onProgress({ step: 'downloading', done, total });
        }
      } catch (cause) {
        throw new MizanError('upstream_error', `The download of ${name} broke off.`, { cause });
      } finally {
        await file.close();
      }
      return path;
    },
    async remove(name) {
      await client.text({ method: 'DELETE', key: keyOf(name) });
    },
  };
}

interface Upload {
  readonly size: number;
  readonly partBytes: number;
  readonly read: (from: number) => Promise<Buffer>;
  readonly onProgress: OnProgress;
}

async function uploadInParts(client: S3Client, key: string, upload: Upload): Promise<void> {
  const { size, partBytes, read, onProgress } = upload;
  const started = await client.text({ method: 'POST', key, query: { uploads: '' } });
  const [uploadId] = elements(started, 'UploadId');
  if (uploadId === undefined) throw new MizanError('upstream_error', 'The S3 service began no upload in parts.');
  try {
    const parts: string[] = [];
    for (let from = 0; from < size; from += partBytes) {
      const number = parts.length + 1;
      const query = { partNumber: String(number), uploadId };
      const answer = await client.call({ method: 'PUT', key, query, body: await read(from) });
      await answer.body.dump();
      parts.push(`<Part><PartNumber>${number}</PartNumber><ETag>${String(answer.headers['etag'])}</ETag></Part>`);
      onProgress({ step: 'uploading', done: Math.min(from + partBytes, size), total: size });
    }
    const body = Buffer.from(`<CompleteMultipartUpload>${parts.join('')}</CompleteMultipartUpload>`);
    const xml = await client.text({ method: 'POST', key, query: { uploadId }, body });
    // An error may come with status 200, once the service has begun to answer.
    const [code] = elements(xml, 'Code');
    if (code !== undefined) throw new MizanError('upstream_error', `The S3 service ended the upload with ${code}.`);
  } catch (error) {
    await client.text({ method: 'DELETE', key, query: { uploadId } }).catch(() => undefined);
    throw error;
  }
}

/** Parts of uploads that were killed cost money and are seen by nobody. Not every service lists them. */
async function abandonOld(
  client: S3Client,
  prefix: string,
  listed: (query: Record<string, string>) => Promise<string>,
): Promise<void> {
  const xml = await listed({ uploads: '' }).catch(() => '');
  const ids = elements(xml, 'UploadId');
  for (const [i, key] of elements(xml, 'Key').entries()) {
    const [name, uploadId] = [decodeURIComponent(key), ids[i]];
    const isOurs = name.startsWith(prefix) && timeOfName(name.slice(prefix.length)) !== undefined;
    if (isOurs && uploadId !== undefined) {
      await client.text({ method: 'DELETE', key: name, query: { uploadId } }).catch(() => undefined);
    }
  }
}
