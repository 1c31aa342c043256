import { describe, expect, test } from 'vitest';
import { servedOf } from '../../../test/support/calls.ts';
import { ManualClock } from '../../../test/support/clock.ts';
import { ScriptedProvider } from '../../../test/support/scripted-provider.ts';
import { MizanError } from '../../core/errors.ts';
import { seededRandom } from '../../core/random.ts';
import type { Price } from '../../core/usage.ts';
import { priceNow } from './model.ts';
import { Models } from './models.ts';
import type { Served } from './served.ts';
import { defaultPolicy } from './served.ts';

class Priced extends ScriptedProvider {
  override priceOf(): null {
    return { input: 1, output: 2 } satisfies Price as unknown as null;
  }
}

const sim = new ScriptedProvider('sim');
const paid = new Priced('paid');
const fast = servedOf([sim.instance()]);
const named = servedOf([sim.instance()], { model: { id: 'sim/named' } });

const modelsWith = (...models: Served[]): Models =>
  new Models(
    new Map(models.map((served) => [served.pool.model.id, served])),
    new Map([
      ['sim', sim],
      ['paid', paid],
    ]),
    { clock: new ManualClock(), random: seededRandom(1) },
  );

function refusal(models: Models, name: string): MizanError {
  try {
    models.find(name);
  } catch (error) {
    if (error instanceof MizanError) return error;
    throw error;
  }
  throw new Error('it was found');
}

describe('a model', () => {
  test('of the config is found by its id', () => {
    const models = modelsWith(fast);
    expect(models.find('fast')).toBe(fast);
    expect([...models.list()]).toStrictEqual([fast]);
  });

  test('may be had from any provider directly, at the provider’s price', () => {
    const { pool, policy } = modelsWith(fast).find('paid/openai/gpt-5-mini');
    expect(policy).toBe(defaultPolicy);
    const [instance] = pool.model.instances;
    expect(instance === undefined ? null : priceNow(instance)).toEqual({ input: 1, output: 2 });
    expect(pool.model).toMatchObject({
      id: 'paid/openai/gpt-5-mini',
      label: 'paid/*',
      strategyName: 'round-robin',
      instances: [{ id: 'paid', upstreamModel: 'openai/gpt-5-mini', weight: 1 }],
    });
  });

  test('of the config goes before a provider’s of the same name', () => {
    expect(modelsWith(named).find('sim/named')).toBe(named);
  });

  test('that is called directly again is the same one', () => {
    const models = modelsWith(fast);
    expect(models.find('sim/a')).toBe(models.find('sim/a'));
  });

  test('that is called directly is not among the config’s', () => {
    const models = modelsWith(fast);
    models.find('sim/a');
    expect([...models.list()]).toStrictEqual([fast]);
    expect(models.served('sim/a')).toBe(undefined);
    expect(models.served('fast')).toBe(fast);
  });

  test('that nobody asked for lately is forgotten, and found again when somebody does', () => {
    const models = modelsWith(fast);
    const kept = models.find('sim/kept');
    const left = models.find('sim/left');
    for (let i = 0; i < 999; i++) {
      models.find(`sim/${i}`);
      models.find('sim/kept');
    }
    expect(models.find('sim/kept')).toBe(kept);
    expect(models.find('sim/left')).not.toBe(left);
    expect(models.find('sim/left').pool.model).toMatchObject({ instances: [{ upstreamModel: 'left' }] });
  });

  test('that nobody knows is refused with the nearest name', () => {
    expect(refusal(modelsWith(fast), 'fsat')).toMatchObject({
      code: 'unknown_model',
      status: 404,
      param: 'model',
      message: 'There is no model "fsat". Did you mean "fast"?',
    });
  });

  test.each([
    'nobody/model',
    'sim/',
    '/model',
    '/',
    'sim',
    'sim/with space',
    'sim/سلام',
    'sim/a\r\nx-header: y',
    `sim/${'x'.repeat(201)}`,
    'constructor',
    '__proto__',
    'toString/x',
    '',
  ])('called %j is refused', (name) => {
    const error = refusal(modelsWith(fast), name);
    expect(error.code).toBe('unknown_model');
    expect(error.message.length).toBeLessThan(200);
  });
});
