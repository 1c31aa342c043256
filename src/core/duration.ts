const units: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400 };

/** `90s`, `15m`, `1h`, `30d` or plain seconds, in seconds; `undefined` for what is none. */
export function parseDuration(text: string): number | undefined {
  const match = /^(\d{1,9})([smhd]?)$/.exec(text);
  return match === null ? undefined : Number(match[1]) * (units[match[2] || 's'] ?? Number.NaN);
}
