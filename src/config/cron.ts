import { Cron } from 'croner';

/** Long before any clock of ours: what a five-field cron does doesn't depend on the year. */
const someTime = new Date('2000-01-01T00:00:00Z');

/** Why `expression` is no cron of five fields that fires one day; `undefined` where it is one. */
export function cronProblem(expression: string): string | undefined {
  const fields = expression.trim().split(/\s+/);
  if (!expression.startsWith('@') && fields.length !== 5) {
    return 'expected five fields: minute, hour, day of the month, month, day of the week';
  }
  try {
    const next = new Cron(expression, { mode: '5-part', timezone: 'UTC', paused: true }).nextRun(someTime);
    return next === null ? 'expected a cron that fires; this one never does' : undefined;
  } catch (cause) {
    const why = cause instanceof Error ? cause.message.replace(/^Cron\w+: /, '') : String(cause);
    return `expected a cron of five fields: ${why}`;
  }
}
