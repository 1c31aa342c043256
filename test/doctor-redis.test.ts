import { expect, onTestFinished, test, vi } from 'vitest';
import { mizan } from './support/command.ts';
import { temporaryFolder } from './support/folder.ts';
import { startRedis } from './support/redis.ts';

// Every command is a process, and the machine may have much else to do.
vi.setConfig({ testTimeout: 120_000 });

test('mizan doctor asks Redis as Mizan does: with the password, and for the database', async () => {
  const cwd = temporaryFolder();
  const server = await startRedis('--requirepass', 'the-right-one');
  onTestFinished(() => server.end());
  const looked = async (url: string): Promise<string> => {
    const { stdout } = await mizan(['doctor', '--data', cwd], {
      cwd,
      env: { REDIS_URL: url },
    });
    return /^.* redis: .*$/m.exec(stdout)?.[0] ?? '';
  };
  const at = new URL(server.url).host;
  expect(await looked(`redis://:the-right-one@${at}/3`)).toBe(`ok   redis: ${at} answers`);
  expect(await looked(`redis://:a-wrong-one@${at}`)).toMatch(/^FAIL redis: .*WRONGPASS/);
  expect(await looked(`redis://${at}`)).toMatch(/^FAIL redis: .*NOAUTH/);
  expect(await looked(`redis://:the-right-one@${at}/99`)).toMatch(/^FAIL redis: .*DB index/);
});
