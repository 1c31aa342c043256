import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { countTokens as inCl100k } from 'gpt-tokenizer/encoding/cl100k_base';
import { countTokens as inO200k } from 'gpt-tokenizer/encoding/o200k_base';
import { describe, expect, test } from 'vitest';
import { tokensIn } from './tokens.ts';

const root = join(import.meta.dirname, '../..');
const file = (path: string): string => readFileSync(join(root, path), 'utf8');

/** What people and programs send. */
const texts: Readonly<Record<string, string>> = {
  English: 'The budget of a team is a promise that has to hold under concurrency, on every path, on any machine.',
  'an English page': file('README.md'),
  Arabic: 'الميزان منظومة لإدارة الذكاء الاصطناعي، تقرر أي نسخة من أي نموذج تجيب عن الطلب، وتحفظ السجلات وتحسب التكاليف.',
  'Arabic with its vowels': 'قُلْ مَرْحَبًا بِالْعَالَمِ، وَاكْتُبْ لِي رِسَالَةً قَصِيرَةً عَنْ أَهَمِّيَّةِ الْعِلْمِ.',
  'an Arabic page': file('README.ar.md'),
  'both in one sentence': 'Translate مرحبا بالعالم into English, then explain budget_spent (402) في سطر واحد.',
  French: 'La promesse d’un budget doit être tenue même en parallèle; l’équipe n’a pas à payer pour d’autres.',
  German: 'Was versprochen ist, wird gehalten: Rückstellungen verfallen spätestens nach einer Minute.',
  Russian: 'Обещание бюджета должно выполняться при параллельных запросах.',
  Persian: 'بودجهٔ هر گروه باید در برابر درخواست‌های هم‌زمان هم رعایت شود.',
  Hebrew: 'התקציב של כל צוות חייב להישמר גם כשבקשות רבות מגיעות יחד.',
  Hindi: 'बजट का वादा समवर्ती अनुरोधों में भी निभाया जाना चाहिए।',
  Chinese: '我们必须在并发情况下保持预算的承诺，无论请求走哪条路径。',
  Japanese: '予算の約束は、同時実行の下でも守られなければなりません。ひらがなとカタカナ。',
  Korean: '예산에 대한 약속은 동시성 아래에서도 지켜져야 합니다.',
  Thai: 'งบประมาณต้องได้รับการรักษาไว้แม้มีคำขอพร้อมกัน',
  emoji: '👩‍💻🚀🔥✨🎉😀🙏🏽💰⚖️',
  code: file('src/core/errors.ts'),
  JSON: file('package-lock.json').slice(0, 20_000),
  'JSON on one line': JSON.stringify({
    id: 'req_01m82kbektgj443e9psj3ajchj',
    usage: [12.5, 99_123],
    ok: true,
    t: '2026-11-26',
  }),
  digits: '3.14159265358979323846264338327950288419716939937510',
  hexadecimals: '8f434346648f6b96df89dda901c5176b10a6d83961dd3c1ac88b59b2dc327aa4',
  'base 64': 'TWFueSBoYW5kcyBtYWtlIGxpZ2h0IHdvcmsuIG1hbnkgaGFuZHM5OTEyMzQ=',
  addresses: 'https://example.com/v1/chat/completions?model=gpt-5-mini&x=1&y=aZ9',
  signs: '{}[]();:,.!?<>=+-*/&|^%$#@~`"\\\'_',
  whitespace: 'a          b          c\n\n\n\n    d\t\t\te ',
};

describe.each(Object.entries(texts))('%s', (_what, text) => {
  test.each([
    ['o200k_base', inO200k],
    ['cl100k_base', inCl100k],
  ])('is never taken for less than 90 %% of what %s makes of it', (_encoding, count) => {
    expect(tokensIn(text)).toBeGreaterThanOrEqual(0.9 * count(text));
  });

  test('is taken for at most twice of what most vocabularies make of it', () => {
    const most = Math.max(inO200k(text), inCl100k(text));
    expect(tokensIn(text)).toBeLessThanOrEqual(2 * most);
  });
});

test('the usual count is near that of the vocabulary that current models share', () => {
  const ratios = Object.values(texts).map((text) => tokensIn(text, 'usual') / inO200k(text));
  const mean = ratios.reduce((sum, ratio) => sum + ratio, 0) / ratios.length;
  expect(mean).toBeGreaterThan(0.95);
  expect(mean).toBeLessThan(1.3);
});

test('more text is never fewer tokens', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme' }), fc.string({ unit: 'grapheme' }), (a, b) => {
      expect(tokensIn(a + b)).toBeGreaterThanOrEqual(tokensIn(a));
    }),
  );
});

test('nothing is no token', () => {
  expect(tokensIn('')).toBe(0);
});
