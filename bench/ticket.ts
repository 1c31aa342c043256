/**
 * A ticket travels inside the text of a request: the mock reads there what to do, whatever a gateway does to headers
 * and model names on the way, and returns the number, so that no answer can be taken for another's.
 *
 * `#000000000123/020#` is request 123, streamed with 20 ms between chunks (0: all at once).
 */
export interface Ticket {
  readonly number: string;
  readonly paceMs: number;
}

const numberDigits = 12;
const paceDigits = 3;

/** Where a ticket will be written. */
export const blankTicket = `#${'0'.repeat(numberDigits)}/${'0'.repeat(paceDigits)}#`;

export function numberText(number: number): string {
  return String(number).padStart(numberDigits, '0');
}

/** Writes a ticket over a blank one that begins at `at`. */
export function writeTicket(bytes: Buffer, at: number, number: string, paceMs: number): void {
  bytes.write(`#${number}/${String(paceMs).padStart(paceDigits, '0')}#`, at, 'latin1');
}

/** The ticket in a request's body; `null` if it carries none. */
export function readTicket(body: Buffer): Ticket | null {
  for (let at = body.indexOf('#'); at !== -1; at = body.indexOf('#', at + 1)) {
    const slash = at + 1 + numberDigits;
    const end = slash + 1 + paceDigits;
    if (body[slash] !== 0x2f || body[end] !== 0x23) continue;
    return { number: body.toString('latin1', at + 1, slash), paceMs: Number(body.toString('latin1', slash + 1, end)) };
  }
  return null;
}
