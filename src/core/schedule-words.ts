import type { Schedule } from './schedule.ts';

export const languages = ['en', 'ar'] as const;
export type Language = (typeof languages)[number];

/** The texts of one language. */
interface Words {
  readonly every: (count: number, unit: Unit) => string;
  readonly once: (time: string) => string;
  readonly hourly: (minute: number) => string;
  readonly daily: (times: string) => string;
  readonly weekly: (days: string, times: string) => string;
  readonly monthly: (day: string, times: string) => string;
  readonly day: (number: string) => string;
  readonly lastDay: string;
  readonly yearly: (date: string, times: string) => string;
  readonly other: (cron: string) => string;
  readonly and: string;
  readonly locale: string;
  readonly days: readonly string[];
  readonly weekdays: string;
}

type Unit = 'second' | 'minute' | 'hour' | 'day';

const arabicUnits: Readonly<Record<Unit, readonly [one: string, two: string, few: string, many: string]>> = {
  second: ['ثانية', 'ثانيتين', 'ثوانٍ', 'ثانية'],
  minute: ['دقيقة', 'دقيقتين', 'دقائق', 'دقيقة'],
  hour: ['ساعة', 'ساعتين', 'ساعات', 'ساعة'],
  day: ['يوم', 'يومين', 'أيام', 'يومًا'],
};

/** Arabic counts one and two by the noun alone, three to ten with its plural, and more with its singular. */
function everyInArabic(count: number, unit: Unit): string {
  const [one, two, few, many] = arabicUnits[unit];
  if (count === 1) return `كل ${one}`;
  if (count === 2) return `كل ${two}`;
  const rest = count % 100;
  return `كل ${count} ${rest >= 3 && rest <= 10 ? few : many}`;
}

const words: Readonly<Record<Language, Words>> = {
  en: {
    every: (count, unit) => (count === 1 ? `every ${unit}` : `every ${count} ${unit}s`),
    once: (time) => `once, at ${time}`,
    hourly: (minute) => (minute === 0 ? 'every hour, on the hour' : `every hour, at minute ${minute}`),
    daily: (times) => `every day at ${times}`,
    weekly: (days, times) => `${days} at ${times}`,
    monthly: (day, times) => `on ${day} of every month at ${times}`,
    day: (number) => `day ${number}`,
    lastDay: 'the last day',
    yearly: (date, times) => `every year on ${date} at ${times}`,
    other: (cron) => `by the cron ${cron}`,
    and: ' and ',
    locale: 'en-GB',
    days: [
      'every Sunday',
      'every Monday',
      'every Tuesday',
      'every Wednesday',
      'every Thursday',
      'every Friday',
      'every Saturday',
    ],
    weekdays: 'Monday to Friday',
  },
  ar: {
    every: everyInArabic,
    once: (time) => `مرة واحدة في ${time}`,
    hourly: (minute) => (minute === 0 ? 'كل ساعة عند تمامها' : `كل ساعة عند الدقيقة ${minute}`),
    daily: (times) => `كل يوم الساعة ${times}`,
    weekly: (days, times) => `${days} الساعة ${times}`,
    monthly: (day, times) => `${day} من كل شهر الساعة ${times}`,
    day: (number) => `اليوم ${number}`,
    lastDay: 'اليوم الأخير',
    yearly: (date, times) => `كل سنة في ${date} الساعة ${times}`,
    other: (cron) => `حسب تعبير cron ‏${cron}`,
    and: ' و',
    locale: 'ar-u-nu-latn',
    days: ['كل يوم أحد', 'كل يوم اثنين', 'كل يوم ثلاثاء', 'كل يوم أربعاء', 'كل يوم خميس', 'كل يوم جمعة', 'كل يوم سبت'],
    weekdays: 'من الاثنين إلى الجمعة',
  },
};

const nicknames: Readonly<Record<string, string>> = {
  '@yearly': '0 0 1 1 *',
  '@annually': '0 0 1 1 *',
  '@monthly': '0 0 1 * *',
  '@weekly': '0 0 * * 0',
  '@daily': '0 0 * * *',
  '@midnight': '0 0 * * *',
  '@hourly': '0 * * * *',
};

const dayNames = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'];

/** A schedule as people say it. What can't be said in a few words is its cron. */
export function inWords(schedule: Schedule, language: Language): string {
  const say = words[language];
  switch (schedule.kind) {
    case 'every':
      return intervalInWords(schedule.everyMs / 1000, say);
    case 'at':
      return say.once(new Date(schedule.at).toISOString().replace('.000Z', 'Z'));
    case 'cron': {
      const { cron, timezone } = schedule;
      const said = cronInWords(cron, say);
      const zone = timezone === 'UTC' || isInterval(cron) ? '' : ` (${timezone})`;
      return `${said ?? say.other(cron)}${zone}`;
    }
  }
}

function intervalInWords(seconds: number, say: Words): string {
  for (const [unit, size] of [
    ['day', 86_400],
    ['hour', 3600],
    ['minute', 60],
  ] as const) {
    if (seconds % size === 0) return say.every(seconds / size, unit);
  }
  return say.every(seconds, 'second');
}

/** What is the same in every zone. */
function isInterval(cron: string): boolean {
  return /^(?:\S+ )?(?:\*|\*\/\d+) \* \* \* \*$/.test(cron.trim());
}

/** `undefined` where it takes more than a few words. */
function cronInWords(cron: string, say: Words): string | undefined {
  const expression = nicknames[cron.trim().toLowerCase()] ?? cron;
  const fields = expression.trim().toLowerCase().split(/\s+/);
  const [second = '', minute = '', hour = '', day = '', month = '', weekday = ''] =
    fields.length === 5 ? ['0', ...fields] : fields;
  const isAnyDay = /^[*?]$/.test(day) && month === '*' && /^[*?]$/.test(weekday);
  if (isAnyDay) {
    const everyDay = stepInWords([second, minute, hour], say);
    if (everyDay !== undefined) return everyDay;
  }
  const times = timesOf(second, minute, hour, say);
  if (times === undefined) return undefined;
  if (isAnyDay) return say.daily(times);
  if (/^[*?]$/.test(day) && month === '*') {
    const days = weekdaysOf(weekday, say);
    return days === undefined ? undefined : say.weekly(days, times);
  }
  if (!/^[*?]$/.test(weekday)) return undefined;
  if (month === '*' && /^(?:\d+|l)$/.test(day)) return say.monthly(day === 'l' ? say.lastDay : say.day(day), times);
  if (/^\d+$/.test(day) && /^\d+$/.test(month)) {
    const date = new Date(Date.UTC(2024, Number(month) - 1, Number(day)));
    const format = new Intl.DateTimeFormat(say.locale, { day: 'numeric', month: 'long', timeZone: 'UTC' });
    return say.yearly(format.format(date), times);
  }
  return undefined;
}

/** Every so many seconds, minutes or hours, where that is all there is to it. */
function stepInWords([second = '', minute = '', hour = '']: readonly string[], say: Words): string | undefined {
  const step = (field: string): number | undefined => {
    const [, count] = /^\*(?:\/(\d+))?$/.exec(field) ?? [];
    return field === '*' ? 1 : count === undefined ? undefined : Number(count);
  };
  const even = (count: number | undefined, of: number): count is number => count !== undefined && of % count === 0;
  if (minute === '*' && hour === '*') {
    const seconds = step(second);
    if (even(seconds, 60)) return say.every(seconds, 'second');
  }
  if (second !== '0') return undefined;
  const minutes = step(minute);
  if (hour === '*' && even(minutes, 60)) return say.every(minutes, 'minute');
  if (!/^\d+$/.test(minute)) return undefined;
  if (hour === '*') return say.hourly(Number(minute));
  const hours = step(hour);
  return minute === '0' && even(hours, 24) ? say.every(hours, 'hour') : undefined;
}

function timesOf(second: string, minute: string, hour: string, say: Words): string | undefined {
  if (!/^\d+$/.test(second) || !/^\d+$/.test(minute) || !/^\d+(?:,\d+)*$/.test(hour)) return undefined;
  const two = (digits: string): string => digits.padStart(2, '0');
  const times = hour.split(',').map((each) => `${two(each)}:${two(minute)}${second === '0' ? '' : `:${two(second)}`}`);
  return listed(times, say);
}

function weekdaysOf(field: string, say: Words): string | undefined {
  if (field === 'mon-fri' || field === '1-5') return say.weekdays;
  const days = field.split(',').map((each) => {
    const index = dayNames.includes(each) ? dayNames.indexOf(each) : /^[0-7]$/.test(each) ? Number(each) % 7 : -1;
    return say.days[index];
  });
  return days.every((each) => each !== undefined) ? listed(days, say) : undefined;
}

function listed(parts: readonly string[], { and, locale }: Words): string {
  const comma = locale.startsWith('ar') ? '، ' : ', ';
  return parts.length === 1 ? (parts[0] ?? '') : `${parts.slice(0, -1).join(comma)}${and}${parts.at(-1) ?? ''}`;
}
