import { expect, test } from 'vitest';
import { Meters } from './meters.ts';

interface Thing {
  isBusy: boolean;
  forget: (() => void) | null;
}

const isIdle = ({ isBusy }: Thing): boolean => !isBusy;

test('up to a number of them, all stay', () => {
  const meters = new Meters<Thing>(100);
  for (let i = 0; i < 100; i++) meters.add(`${i}`, { isBusy: false, forget: null }, isIdle);
  expect(meters.size).toBe(100);
});

test('beyond it, the busy ones stay, and of the others about a third as many', () => {
  const meters = new Meters<Thing>(100);
  for (let i = 0; i < 1000; i++) meters.add(`busy ${i}`, { isBusy: true, forget: null }, isIdle);
  let forgotten = 0;
  for (let i = 0; i < 20_000; i++) meters.add(`${i}`, { isBusy: false, forget: () => forgotten++ }, isIdle);
  for (let i = 0; i < 1000; i++) expect(meters.get(`busy ${i}`)).toBeDefined();
  expect(meters.size).toBeLessThan(1000 * 1.4);
  expect(meters.size + forgotten).toBe(21_000);
});

test('each new one has four others looked at, however many are busy', () => {
  const meters = new Meters<Thing>(100);
  let looks = 0;
  const look = (): boolean => {
    looks++;
    return false;
  };
  for (let i = 0; i < 10_000; i++) meters.add(`${i}`, { isBusy: true, forget: null }, look);
  expect(looks).toBeLessThanOrEqual(4 * 9_900);
});
