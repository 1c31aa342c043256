import { mkdtempSync, rmSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import S3rver from '@20minutes/s3rver';
import { Secret } from '../../src/core/secret.ts';
import type { S3Settings } from '../../src/core/backups.ts';

/** An S3-compatible server with the bucket `backups`, which checks signatures. */
export interface S3Server {
  settings(prefix: string): S3Settings;
  end(): Promise<void>;
}

export async function startS3(): Promise<S3Server> {
  const folder = mkdtempSync(join(tmpdir(), 'mizan-s3-'));
  const server = new S3rver({
    address: '127.0.0.1',
    port: 0,
    silent: true,
    directory: folder,
    configureBuckets: [{ name: 'backups' }],
  });
  const { port } = (await server.run()) as AddressInfo;
  return {
    settings: (prefix) => ({
      endpoint: `http://127.0.0.1:${port}`,
      bucket: 'backups',
      region: 'us-east-1',
      prefix,
      // What this server knows.
      accessKeyId: 'S3RVER',
      secretAccessKey: new Secret('S3RVER'),
      forcePathStyle: true,
      egressAllow: [],
    }),
    async end() {
      await server.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
