/**
 * For whom tokens are counted: `most`, so that nobody who tokenizes well has more of them; `usual`, as current models
 * have them on average.
 */
export type TokenCount = 'most' | 'usual';

/** Tokens per UTF-16 unit beyond ASCII: up to (and without) a code unit, at the most and as usual. */
const rates: readonly (readonly [below: number, most: number, usual: number])[] = [
  [0x2_50, 0.9, 0.5],
  [0x3_70, 1.2, 1],
  [0x5_30, 0.5, 0.27],
  [0x6_00, 1.3, 0.5],
  [0x7_00, 0.8, 0.4],
  [0x9_00, 1.5, 1],
  [0xe_00, 1.25, 0.4],
  [0xe_80, 0.9, 0.4],
  [0x11_00, 2.2, 1.5],
  [0x20_00, 2.8, 2.1],
  [0x30_40, 1.2, 0.9],
  [0x31_00, 1.1, 0.9],
  [0xa0_00, 1.3, 0.8],
  [0xac_00, 2.8, 2.1],
  [0xd8_00, 1.15, 0.7],
  [0xe0_00, 1.4, 0.95],
  [0xff_00, 2.8, 2.1],
  [0x1_00_00, 1.2, 0.9],
];

const tables = { most: tableOf(1), usual: tableOf(2) } as const;

/** Arabic's vowel marks, which cost a token of their own more often than letters do. */
const firstMark = 0x64b;
const lastMark = 0x65f;

/**
 * About how many tokens a text is, without a vocabulary: by runs of letters, digits and signs in ASCII, by script beyond
 * it. Against real tokenizers see `tokens.test.ts`; why none of them is used, `docs/decisions/0058-counting-tokens.md`.
 */
export function tokensIn(text: string, count: TokenCount = 'most'): number {
  const table = tables[count];
  const mark = count === 'most' ? 1.05 : 0.9;
  let tokens = 0;
  let kind = other;
  let run = 0;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit >= 0x80) {
      tokens += unit >= firstMark && unit <= lastMark ? mark : (table[unit >> 4] ?? 1);
      kind = other;
      continue;
    }
    const next = kinds[unit] ?? other;
    // One capital letter begins a word.
    const isSame = next === kind || (next === lower && kind === upper && run === 1);
    run = isSame ? run + 1 : 1;
    tokens += isSame ? more(next, run) : first(next, kind);
    kind = next;
  }
  return Math.ceil(tokens);
}

const lower = 1;
const upper = 2;
const digit = 3;
const sign = 4;
const space = 5;
const control = 6;
const other = 0;

const kinds = Uint8Array.from({ length: 0x80 }, (_, unit) => {
  if (unit >= 0x61 && unit <= 0x7a) return lower;
  if (unit >= 0x41 && unit <= 0x5a) return upper;
  if (unit >= 0x30 && unit <= 0x39) return digit;
  if (unit === 0x20) return space;
  return unit < 0x20 ? control : sign;
});

/** What a run costs that begins. A space belongs to the word after it; capitals inside words are mostly no words. */
function first(kind: number, before: number): number {
  if (kind === space) return 0;
  return kind === upper && before === lower ? 1.4 : 1;
}

/** What one more of the same costs. */
function more(kind: number, run: number): number {
  if (kind === lower) return run > 6 && run % 3 === 1 ? 1 : 0;
  if (kind === upper) return run & 1;
  if (kind === digit) return run % 3 === 1 ? 1 : 0;
  if (kind === sign) return 0.75;
  if (kind === space) return run === 2 ? 1 : 0;
  return 0.34;
}

/** Per sixteen units, so that it is small enough to stay in the cache. */
function tableOf(column: 1 | 2): Float32Array {
  const table = new Float32Array(0x1_00_00 >> 4);
  let from = 0;
  for (const rate of rates) {
    table.fill(rate[column], from, rate[0] >> 4);
    from = rate[0] >> 4;
  }
  return table;
}
