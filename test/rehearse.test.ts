import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readdirSync } from 'node:fs';
import { basename, resolve } from 'node:path';
import { readScenario, scenarioNames } from '../src/cli/rehearse/scenario.ts';
import { mizan } from './support/command.ts';
import type { House } from './support/mizan.ts';
import { commonOptions, furnish } from './support/mizan.ts';

const folder = resolve(import.meta.dirname, '../examples/rehearsals');
const files = readdirSync(folder);

let house: House;

beforeAll(async () => {
  const instances = ['a', 'b', 'c'].map((id) => ({ id, provider: 'theirs', model: 'gpt' }));
  house = await furnish({
    // Nobody is asked there: every part is played by a simulator.
    providers: { theirs: { kind: 'openai-compatible', baseUrl: 'http://127.0.0.1:1/v1' } },
    models: { words: { instances }, spare: { instances: instances.slice(1) } },
    agents: { assistant: { model: 'words' } },
  });
});

afterAll(() => house.remove());

const rehearse = (...args: readonly string[]) => mizan(['rehearse', ...args, ...commonOptions(house)]);

interface Report {
  readonly calls: number;
  readonly answered: number;
  readonly errors: Readonly<Record<string, number>>;
  readonly broken_streams: number;
  readonly more_than_one_attempt: number;
  readonly attempts: readonly {
    readonly model: string;
    readonly instance: string;
    readonly outcome: string;
    readonly count: number;
  }[];
  readonly passed: boolean;
}

describe('examples/rehearsals', () => {
  test('holds scenarios and nothing else', () => {
    expect(files.map((file) => basename(file, '.yaml')).toSorted()).toEqual(scenarioNames());
    expect(scenarioNames()).toContain('one-dead');
  });

  test.for(files)('%s can be read, and names faults that there are', (file) => {
    const scenario = readScenario(resolve(folder, file));
    expect(scenario.description).not.toBe('');
    expect(scenario.faults.flatMap(({ fault }) => fault)).not.toEqual([]);
  });
});

describe('mizan rehearse', () => {
  test('lists the scenarios with what they are about', async () => {
    const { code, stdout } = await rehearse();
    expect(code).toBe(0);
    const lines = stdout.trimEnd().split('\n');
    for (const name of scenarioNames()) {
      expect(lines.find((line) => line.startsWith(name))).toContain(readScenario(name).description);
    }
  });

  test('passes where one of three instances is dead: no caller has noticed', async () => {
    const { code, stdout } = await rehearse('one-dead', '--json');
    expect(code).toBe(0);
    const report = JSON.parse(stdout) as Report;
    expect(report).toMatchObject({ calls: 200, answered: 200, errors: {}, broken_streams: 0, passed: true });
    const of = (instance: string) => report.attempts.filter((attempt) => attempt.instance === instance);
    expect(of('a').map(({ model, outcome }) => [model, outcome])).toEqual([['words', 'network']]);
    expect(of('b')).toMatchObject([{ outcome: 'ok' }]);
    expect(of('c')).toMatchObject([{ outcome: 'ok' }]);
    expect(report.more_than_one_attempt).toBe(of('a')[0]!.count);
    expect(of('b')[0]!.count + of('c')[0]!.count).toBe(200);
  });

  test('tells people the same in words', async () => {
    const { code, stdout } = await rehearse('one-dead', '--model', 'spare');
    expect(code).toBe(0);
    expect(stdout).toContain('What callers saw');
    expect(stdout).toMatch(/answered +200 of 200/);
    expect(stdout).toContain('Passed: at most 0 errors were expected.');
  });

  test('refuses a scenario that there is not, and names the nearest', async () => {
    const { code, stdout, stderr } = await rehearse('one-daed');
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toContain('There is no scenario "one-daed". Did you mean "one-dead"?');
  });

  test('refuses a model that there is not, and names the nearest', async () => {
    const { code, stderr } = await rehearse('one-dead', '--model', 'wrods');
    expect(code).toBe(2);
    expect(stderr).toMatch(/There is no model "wrods".*"words"/);
  });
});
