import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Answer } from './support/http.ts';
import { ask, post } from './support/http.ts';
import type { Running } from './support/mizan.ts';
import { runMizan } from './support/mizan.ts';

let mizan: Running;
let token: string;

beforeAll(async () => {
  mizan = await runMizan({ models: { nowhere: {} }, agents: { lost: { model: 'nowhere' } }, defaultAgent: 'lost' });
  token = await mizan.token();
});

afterAll(() => mizan.end());

const requestId = /^req_[0-9a-z]{26}$/;
const messages = [{ role: 'user', content: 'Hi' }];

/** What an answer's headers say of how it came about. */
function story({ headers }: Answer): Record<string, string | null> {
  const names = ['agent', 'model', 'instance', 'cache', 'attempts'] as const;
  return Object.fromEntries(names.map((name) => [name, headers.get(`x-mizan-${name}`)]));
}

describe('an answer without an attempt', () => {
  const timing = /^gateway;dur=\d+\.\d\d, upstream;dur=0\.00$/;
  const nothing = { agent: null, model: null, instance: null, cache: 'bypass', attempts: '0' };

  test.for([
    ['/ai-process', { agent: 'lost', input: 'x' }, 503, { ...nothing, agent: 'lost', model: 'nowhere' }],
    ['/ai-process', { agent: 'lost', input: 'x', stream: true }, 503, { ...nothing, agent: 'lost', model: 'nowhere' }],
    ['/ai-process', { agent: 'nobody', input: 'x' }, 404, nothing],
    ['/ai-process', { input: 7 }, 400, nothing],
    ['/v1/chat/completions', { model: 'nowhere', messages }, 503, { ...nothing, model: 'nowhere' }],
    ['/v1/chat/completions', { model: 'agent/lost', messages }, 503, { ...nothing, agent: 'lost', model: 'nowhere' }],
    ['/v1/chat/completions', { model: 'unknown', messages }, 404, nothing],
    ['/v1/chat/completions', {}, 400, nothing],
  ] as const)('%s %j says what is known by then: %i', async ([path, body, status, expected]) => {
    const answer = await post(`${mizan.url}${path}`, token, body);
    expect(answer.status).toBe(status);
    expect(story(answer)).toEqual(expected);
    expect(answer.headers.get('server-timing')).toMatch(timing);
  });

  test.for([
    ['no identity', 'POST', '/ai-process', { body: '{}' }, 401],
    ['no JSON', 'POST', '/v1/chat/completions', { headers: { 'content-type': 'text/plain' }, body: 'x' }, 415],
    ['another method', 'GET', '/v1/chat/completions', {}, 405],
    ['another route', 'POST', '/v1/nothing', { body: '{}' }, 404],
    ['a model that is not there', 'GET', '/v1/models/nobody', {}, 404],
    ['the list of models', 'GET', '/v1/models', {}, 200],
  ] as const)('has them for %s, too', async ([, method, path, given, status]) => {
    const answer = await ask(`${mizan.url}${path}`, { method, ...given, ...(status === 401 ? {} : { token }) });
    expect(answer.status).toBe(status);
    expect(answer.headers.get('x-request-id')).toMatch(requestId);
    expect(story(answer)).toEqual(nothing);
    expect(answer.headers.get('server-timing')).toMatch(timing);
  });

  test('is no business of other routes', async () => {
    const answer = await ask(`${mizan.url}/healthz`);
    expect([answer.headers.get('x-mizan-attempts'), answer.headers.get('server-timing')]).toEqual([null, null]);
  });
});
