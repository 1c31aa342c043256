import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { temporaryFolder } from '../../test/support/folder.ts';
import { OtherProcess } from '../../test/support/processes.ts';
import { SetupError } from '../core/errors.ts';
import { secretFile } from './secret-file.ts';

function refusal(folder: string, name = 'jwt.secret'): string {
  try {
    secretFile(folder, name);
  } catch (error) {
    if (error instanceof SetupError) return error.message;
    throw error;
  }
  throw new Error('it was read');
}

describe('a secret', () => {
  test('is made once, from 256 random bits, for its owner’s eyes only', () => {
    const folder = join(temporaryFolder(), 'data');
    const made = secretFile(folder, 'jwt.secret').reveal();
    expect(Buffer.from(made, 'base64url')).toHaveLength(32);
    expect(statSync(join(folder, 'jwt.secret')).mode & 0o777).toBe(0o600);
    expect(statSync(folder).mode & 0o777).toBe(0o700);
    expect(secretFile(folder, 'jwt.secret').reveal()).toBe(made);
    expect(readdirSync(folder)).toStrictEqual(['jwt.secret']);
  });

  test('is another one in another folder, and under another name', () => {
    const folder = temporaryFolder();
    const secrets = [secretFile(folder, 'a'), secretFile(folder, 'b'), secretFile(temporaryFolder(), 'a')];
    expect(new Set(secrets.map((secret) => secret.reveal())).size).toBe(3);
  });

  test('that an operator put there is used, without the line’s end', () => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, 'jwt.secret'), `${'s'.repeat(40)}\r\n`);
    expect(secretFile(folder, 'jwt.secret').reveal()).toBe('s'.repeat(40));
  });

  test('is the same for processes that make it at the same time', async () => {
    const folder = join(temporaryFolder(), 'data');
    const source = new URL('secret-file.ts', import.meta.url).href;
    const others = Array.from(
      { length: 4 },
      () =>
        new OtherProcess(`
          const { secretFile } = await import(${JSON.stringify(source)});
          say('ready');
          say(secretFile(await told(), 'jwt.secret').reveal());
        `),
    );
    await Promise.all(others.map((other) => other.said()));
    for (const other of others) other.tell(folder);
    const secrets = await Promise.all(others.map((other) => other.said()));
    expect(new Set(secrets)).toStrictEqual(new Set([readFileSync(join(folder, 'jwt.secret'), 'utf8').trim()]));
    expect(readdirSync(folder)).toStrictEqual(['jwt.secret']);
  });
});

describe('what is no secret is refused in one line that does not show it', () => {
  test.each(['', 'short', ' '.repeat(100), 'x'.repeat(31)])('a text that is too short: %j', (text) => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, 'jwt.secret'), text);
    const message = refusal(folder);
    expect(message).toContain('shorter than 32 characters');
    expect(message).not.toMatch(/x{31}|short$/);
  });

  test('zeros, as a crash of the machine leaves them', () => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, 'jwt.secret'), Buffer.alloc(44));
    expect(refusal(folder)).toMatch(/is no text: it was damaged\. Put a copy of it back/);
  });

  test('a folder in its place', () => {
    const folder = temporaryFolder();
    mkdirSync(join(folder, 'jwt.secret'));
    expect(refusal(folder)).toMatch(/can't be read or made: EISDIR/);
  });

  test('a file in the place of its folder', () => {
    const file = join(temporaryFolder(), 'data');
    writeFileSync(file, 'x');
    expect(refusal(file)).toMatch(/can't be read or made: E(?:NOTDIR|EXIST)/);
  });
});
