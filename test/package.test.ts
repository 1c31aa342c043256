import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';

const root = join(import.meta.dirname, '..');

test("import … from 'mizan/security' is AISecurity, in a clone", async () => {
  const code = `
    import { AISecurity, MizanError } from 'mizan/security';
    const security = new AISecurity({ keys: [AISecurity.generateKey()] });
    const token = await security.encryptData({ hello: 'world' }, { context: 'c' });
    const refused = await security.decryptData(token).catch((error) => error);
    console.log(JSON.stringify([await security.decryptData(token, { context: 'c' }), refused instanceof MizanError]));`;
  const args = ['--conditions=mizan-source', '--input-type=module', '-e', code];
  const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: root });
  expect(JSON.parse(stdout)).toStrictEqual([{ hello: 'world' }, true]);
});

test('what is published is what the bundle makes', () => {
  const { exports, files } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
    readonly exports: Readonly<Record<string, Readonly<Record<string, string>>>>;
    readonly files: readonly string[];
  };
  const { types, default: bundle } = exports['./security'] ?? {};
  expect([types, bundle]).toStrictEqual(['./dist/types/security/index.d.ts', './dist/security.js']);
  expect(files).toContain('dist');
});
