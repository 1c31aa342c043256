import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Priority } from '../../core/priority.ts';
import { priorities } from '../../core/priority.ts';
import type { Standing } from './fair-line.ts';
import { FairLine } from './fair-line.ts';

const tenants = ['a', 'b', 'c', 'd'] as const;
const weight = fc.integer({ min: 1, max: 9 });
const weights = fc.record({ a: weight, b: weight, c: weight, d: weight });

const of = (tenant: string, priority: Priority = 'normal'): Standing => ({ tenant, priority });

/** Who is served, one after the other. */
function serve(line: FairLine<Standing>, times: number): Standing[] {
  return Array.from({ length: times }, () => {
    const first = line.first()!;
    line.served(first);
    return first;
  });
}

describe('a fair line', () => {
  test('serves tenants that always want to be by their weights, to within one turn', () => {
    fc.assert(
      fc.property(weights, fc.array(fc.constantFrom(...tenants), { maxLength: 40 }), (shares, before) => {
        const line = new FairLine(shares);
        // Whatever was before.
        for (const tenant of before) line.add(of(tenant));
        serve(line, line.size);
        const sum = tenants.reduce((all, tenant) => all + shares[tenant], 0);
        for (const tenant of tenants) for (let i = 0; i < 200; i++) line.add(of(tenant));
        // What was served a moment ago may still count, one turn each.
        serve(line, sum);
        const served = serve(line, sum * 5);
        for (const tenant of tenants) {
          const count = served.filter((each) => each.tenant === tenant).length;
          expect(Math.abs(count - shares[tenant] * 5)).toBeLessThanOrEqual(1);
        }
      }),
    );
  });

  test('has served whoever comes after as many turns as there are tenants and classes, by their weights', () => {
    const step = fc.record({ tenant: fc.constantFrom(...tenants), priority: fc.constantFrom(...priorities) });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), fc.constantFrom(...priorities), (crowd, priority) => {
        const line = new FairLine<Standing>({});
        for (const each of crowd) line.add(each);
        serve(line, Math.min(20, line.size));
        const mine = of('e', priority);
        line.add(mine);
        // The others never run out.
        let turns = 0;
        for (; ; turns++) {
          const first = line.first()!;
          line.served(first);
          if (first === mine) break;
          line.add({ ...first });
        }
        expect(turns).toBeLessThanOrEqual(tenants.length);
      }),
    );
  });

  test('passes over no class of a tenant, and serves them 16 : 4 : 1', () => {
    const line = new FairLine<Standing>({});
    for (const priority of priorities) for (let i = 0; i < 100; i++) line.add(of('a', priority));
    const served = serve(line, 84).map(({ priority }) => priority);
    const count = (priority: Priority): number => served.filter((each) => each === priority).length;
    expect([count('high'), count('normal'), count('low')]).toEqual([64, 16, 4]);
    expect(served.indexOf('low')).toBeLessThan(21);
  });

  test('lets nobody come first again and again by waiting alone', () => {
    const line = new FairLine<Standing>({});
    for (let i = 0; i < 20; i++) line.add(of('many'));
    const served: string[] = [];
    for (let i = 0; i < 20; i++) {
      if (served.at(-1) !== 'one') line.add(of('one'));
      served.push(...serve(line, 1).map(({ tenant }) => tenant));
    }
    expect(served.filter((tenant) => tenant === 'many').length).toBe(10);
  });

  test('counts nothing for whoever leaves unserved', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 30 }), fc.integer({ min: 0, max: 20 }), (leaves, before) => {
        const line = new FairLine<Standing>({});
        for (let i = 0; i < 40; i++) line.add(of('many'));
        serve(line, before);
        for (let i = 0; i < leaves; i++) {
          const leaver = of('one');
          line.add(leaver);
          expect(line.remove(leaver)).toBe(true);
          expect(line.remove(leaver)).toBe(false);
        }
        line.add(of('one'));
        expect(serve(line, 2).map(({ tenant }) => tenant)).toContain('one');
        expect(line.size).toBe(39 - before);
      }),
    );
  });
});
