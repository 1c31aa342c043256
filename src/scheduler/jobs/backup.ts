import type { Backups } from '../../core/backups.ts';
import type { JobType } from '../contract.ts';
import { checkedSettings } from '../settings.ts';

/** How often it is said how far it is, in ms. */
const progressMs = 1000;

/** Makes a backup, which is restored and compared before it counts, and lets older ones go. */
export function backup(backups: Backups): JobType {
  return {
    name: 'backup',
    async run({ job, say, signal, confirm }) {
      await confirm();
      let step: string | null = null;
      const progress = setInterval(() => {
        const run = backups.lastRun;
        if (run?.step === undefined || run.step === null || run.step === step) return;
        step = run.step;
        say(`${step} …`);
      }, progressMs);
      const giveUp = (): void => say('It was told to stop; the backup is given up.');
      signal.addEventListener('abort', giveUp);
      try {
        const keep = job.settings['keep'];
        const made = await backups.create(typeof keep === 'number' ? keep : undefined, signal);
        const { name, bytes, rows, places, removed } = made;
        say(`${name}: ${rows} rows, ${bytes} bytes; restored and compared.`);
        for (const place of places) say(`It is at ${place}`);
        if (removed.length > 0) say(`Older ones that went: ${removed.join(', ')}`);
        return { name, bytes, rows, places, removed };
      } finally {
        clearInterval(progress);
        signal.removeEventListener('abort', giveUp);
      }
    },
    check: (settings) =>
      checkedSettings(settings, {
        keep: {
          expected: 'must be a whole number from 1 to 10000',
          is: (value) => Number.isInteger(value) && Number(value) >= 1 && Number(value) <= 10_000,
        },
      }),
  };
}
