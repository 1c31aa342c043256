// Money is counted in whole picodollars (1e-12 US dollars): a price per million tokens with up to six decimals is a whole
// number of them per token. The cost of one answer is kept as a number of US dollars that stands for such a whole
// number: up to `maxAnswerUsd` a double tells all of them apart, so that nothing is lost in either direction.

/** Picodollars in a US dollar. */
export const picosPerUsd = 1e12;

/** Picodollars in a billionth of a US dollar, the unit in which machines tell each other of money. */
export const picosPerNano = 1000n;

/** The most that one answer is believed to cost, in US dollars; a reported cost above it is none. */
export const maxAnswerUsd = 2000;

/** A cost in US dollars, up to {@link maxAnswerUsd}, as whole picodollars. */
export function picosOf(usd: number): number {
  return Math.round(usd * picosPerUsd);
}

/** The number of US dollars that stands for so many whole picodollars. */
export function usdOf(picos: number): number {
  return picos / picosPerUsd;
}

/** An amount of up to six decimals, as budgets are given, in picodollars. */
export function picosOfBudget(usd: number): bigint {
  return BigInt(Math.round(usd * 1e6)) * 1_000_000n;
}

/** All digits: `0.000001234567`, `12.5`, `-3`. */
export function usdText(picos: bigint): string {
  const size = picos < 0n ? -picos : picos;
  const whole = size / 1_000_000_000_000n;
  const rest = String(size % 1_000_000_000_000n)
    .padStart(12, '0')
    .replace(/0+$/, '');
  return `${picos < 0n ? '-' : ''}${whole}${rest === '' ? '' : `.${rest}`}`;
}
