import type { Language } from './phrases.ts';

/** A script, and the language that is written in it unless a letter of another language is among the text. */
interface ScriptRow {
  readonly letters: RegExp;
  readonly language: Language;
  readonly unless?: readonly (readonly [letter: RegExp, language: Language])[];
}

const scripts: readonly ScriptRow[] = [
  {
    letters: /\p{Script=Arabic}/gu,
    language: 'ar',
    unless: [
      [/[ٹڈڑںےہھ]/, 'ur'],
      [/[پژکی]/, 'fa'],
    ],
  },
  { letters: /\p{Script=Hebrew}/gu, language: 'he' },
  { letters: /\p{Script=Cyrillic}/gu, language: 'ru' },
  { letters: /\p{Script=Greek}/gu, language: 'el' },
  { letters: /\p{Script=Devanagari}/gu, language: 'hi' },
  { letters: /\p{Script=Thai}/gu, language: 'th' },
  { letters: /\p{Script=Hangul}/gu, language: 'ko' },
  { letters: /[\p{Script=Hiragana}\p{Script=Katakana}]/gu, language: 'ja' },
  {
    letters: /\p{Script=Han}/gu,
    language: 'zh',
    unless: [[/[\p{Script=Hiragana}\p{Script=Katakana}]/u, 'ja']],
  },
];

/** Words that are frequent in one language that is written in Latin letters, and mean little in the others. */
const stopWords: readonly (readonly [language: Language, words: string])[] = [
  ['en', 'the and is are was of to in what how why please hello hi you with for this that do can my it'],
  ['fr', 'le les des du est une et vous je que qui dans pour avec sur pas bonjour salut merci quel quelle comment ça'],
  ['es', 'el los las es una y que en por para con qué cómo hola gracias usted está esto mi dime del'],
  ['de', 'der die das ist und ein eine ich sie nicht mit für auf wie was bitte hallo guten danke wer warum mir'],
  ['tr', 've bir bu için ne nasıl mı mi merhaba selam lütfen teşekkürler nedir değil ben sen bana çok ile'],
  ['pt', 'o os uma é e que em para com não você olá oi obrigado obrigada isso como por qual está meu do da'],
];

const languagesOfWord = new Map<string, Language[]>();
for (const [language, words] of stopWords) {
  for (const word of words.split(' ')) languagesOfWord.set(word, [...(languagesOfWord.get(word) ?? []), language]);
}

/** A text that says which language it is in within so many characters, or is taken for English. */
const read = 240;

/** The language of a text, by its letters, and by frequent words where the letters are Latin. English if in doubt. */
export function languageOf(text: string): Language {
  const start = text.slice(0, read);
  return (hasOnlyLatin(start) ? null : byScript(start)) ?? byStopWords(start);
}

/** No other script has a letter below U+0370. */
function hasOnlyLatin(text: string): boolean {
  return /^[\0-\u036f]*$/.test(text);
}

/** The language of the most frequent script, or `null` if that is Latin. */
function byScript(text: string): Language | null {
  let language: Language | null = null;
  // Other scripts are full of Latin names and terms, so a third as many letters of them is enough.
  let most = (text.match(/\p{Script=Latin}/gu)?.length ?? 0) / 3;
  for (const row of scripts) {
    const count = text.match(row.letters)?.length ?? 0;
    if (count === 0 || count < most) continue;
    most = count;
    language = row.unless?.find(([letter]) => letter.test(text))?.[1] ?? row.language;
  }
  return language;
}

function byStopWords(text: string): Language {
  const counts = new Map<Language, number>();
  for (const word of text.toLowerCase().match(/\p{L}+/gu) ?? []) {
    for (const language of languagesOfWord.get(word) ?? []) counts.set(language, (counts.get(language) ?? 0) + 1);
  }
  let best: Language = 'en';
  for (const [language, count] of counts) {
    if (count > (counts.get(best) ?? 0)) best = language;
  }
  return best;
}
