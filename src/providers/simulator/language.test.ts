import { expect, test } from 'vitest';
import { languageOf } from './language.ts';
import { phrases, type Language } from './phrases.ts';

const cases: [text: string, language: Language][] = [
  ['', 'en'],
  ['12 + 30 = ?', 'en'],
  ['👍🏽', 'en'],
  ['Say hello', 'en'],
  ['What does the word سلام mean in a sentence?', 'en'],
  ['قل مرحبًا', 'ar'],
  ['اشرح لي async و await في Node.js', 'ar'],
  ['سلام، حالت چطور است؟ می‌توانی کمک کنی؟', 'fa'],
  ['آپ کیسے ہیں؟', 'ur'],
  ['שלום, מה שלומך?', 'he'],
  ['Привет, как дела?', 'ru'],
  ['Γεια σου, τι κάνεις;', 'el'],
  ['नमस्ते, आप कैसे हैं?', 'hi'],
  ['สวัสดีครับ', 'th'],
  ['日本の首都はどこですか', 'ja'],
  ['東京の天気', 'ja'],
  ['안녕하세요', 'ko'],
  ['你好，请介绍一下自己', 'zh'],
  ['Bonjour, quelle est la capitale de la France ?', 'fr'],
  ['Hola, ¿cuál es la capital de España?', 'es'],
  ['Was ist die Hauptstadt von Deutschland?', 'de'],
  ['Merhaba, Türkiye’nin başkenti nedir?', 'tr'],
  ['Olá, qual é a capital de Portugal?', 'pt'],
];

test.each(cases)('%j is answered in the language %s', (text, language) => {
  expect(languageOf(text)).toBe(language);
});

test.each(Object.keys(phrases) as Language[])(
  'what the simulator says in %s is recognised as that language',
  (language) => {
    const { silent, confession, body } = phrases[language];
    expect(languageOf([silent, confession, ...body].join(' '))).toBe(language);
  },
);

test.each(Object.entries(phrases))(
  'in %s every sentence that should quote has a place for the quote, and no other',
  (_, row) => {
    for (const sentence of [...row.quoting, row.tool]) expect(sentence.split('{quote}')).toHaveLength(2);
    for (const sentence of [row.silent, row.confession, ...row.body]) expect(sentence).not.toContain('{');
  },
);
