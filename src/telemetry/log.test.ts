import { describe, expect, test } from 'vitest';
import { OtherProcess } from '../../test/support/processes.ts';

const source = new URL('log.ts', import.meta.url).href;

describe('the log', () => {
  test('is lines of JSON on stderr, from its level upwards, and nothing on stdout', async () => {
    const other = new OtherProcess(`
      import { spawnSync } from 'node:child_process';
      const code = \`
        const { createLog } = await import(${JSON.stringify(source)});
        const log = createLog('info');
        log.debug({ event: 'too_small' });
        log.info({ event: 'started', port: 8000 });
        log.error({ event: 'failed', err: new Error('why') }, 'in words');
        log.flush();
      \`;
      const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', code]);
      say(JSON.stringify({ stdout: String(stdout), stderr: String(stderr) }));
    `);
    const { stdout, stderr } = JSON.parse(await other.said()) as { stdout: string; stderr: string };
    expect(stdout).toBe('');
    const lines = stderr.trim().split('\n');
    expect(lines.map((line) => JSON.parse(line) as object)).toMatchObject([
      { level: 30, event: 'started', port: 8000 },
      { level: 50, event: 'failed', message: 'in words', err: { type: 'Error', message: 'why' } },
    ]);
    expect(stderr).not.toContain('hostname');
  });
});
