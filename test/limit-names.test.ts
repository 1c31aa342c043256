import { expect, onTestFinished, test } from 'vitest';
import { ask, errorOf, post } from './support/http.ts';
import { runMizan } from './support/mizan.ts';

test('limits and budgets are not made for an agent, a model or an API key that is not there', async () => {
  const mizan = await runMizan({
    providers: { sim: { kind: 'simulator' } },
    models: { quick: { instances: [{ id: 'a', provider: 'sim', model: 'simulator' }] } },
    agents: { assistant: { model: 'quick' } },
  });
  onTestFinished(() => mizan.end());
  const token = await mizan.token({ role: 'admin' });
  const { id } = (await post(`${mizan.url}/api/keys`, token, { name: 'there' })).json as { id: string };
  const near = `${id.slice(0, -1)}${id.endsWith('a') ? 'b' : 'a'}`;
  const elsewhere = await mizan.token({ role: 'admin', tenant: 'elsewhere' });
  const wrong = [
    [{ model: 'quik' }, 'There is no model "quik". Did you mean "quick"?', token],
    [{ model: 'nobody/x' }, 'There is no model "nobody/x".', token],
    [{ agent: 'asistant' }, 'There is no agent "asistant". Did you mean "assistant"?', token],
    [{ key: near }, `There is no API key "${near}". Did you mean "${id}"?`, token],
    // Whose key it is, another tenant is not told.
    [{ key: id }, `There is no API key "${id}".`, elsewhere],
  ] as const;
  for (const [target, message, by] of wrong) {
    for (const [where, size] of [
      ['limits', { rpm: 5 }],
      ['budgets', { usd: 5, per: 'day' }],
    ] as const) {
      const refused = await post(`${mizan.url}/api/${where}`, by, { name: 'wrong', ...target, ...size });
      expect(refused.status).toBe(400);
      const [param] = Object.keys(target);
      expect(errorOf(refused.json)).toMatchObject({ code: 'invalid_request', message, param });
    }
  }
  // A principal may come some day, by whoever's token.
  for (const target of [{ model: 'sim/anything' }, { model: '*' }, { key: id }, { principal: 'who comes some day' }]) {
    expect((await post(`${mizan.url}/api/limits`, token, { name: 'right', ...target, rpm: 5 })).status).toBe(201);
  }
  expect((await ask(`${mizan.url}/api/limits/right`, { token, method: 'DELETE' })).status).toBe(200);
});
