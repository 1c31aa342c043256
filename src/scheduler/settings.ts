import { MizanError } from '../core/errors.ts';
import type { JobSettings } from '../core/jobs.ts';
import { didYouMean } from '../core/nearest.ts';

/** What one of a type's settings must be, as the rest of a sentence, and whether a value is that. */
export interface Setting {
  readonly expected: string;
  readonly isRequired?: boolean;
  readonly is: (value: unknown) => boolean;
}

/** Settings that have nothing but what a type knows. @throws MizanError `invalid_request`, naming the field. */
export function checkedSettings(settings: JobSettings, known: Readonly<Record<string, Setting>>): JobSettings {
  for (const [param, value] of Object.entries(settings)) {
    const setting = known[param];
    if (setting === undefined) {
      const hint = didYouMean(param, Object.keys(known));
      throw new MizanError('invalid_request', `This type of job has no setting "${param.slice(0, 100)}".${hint}`, {
        param,
      });
    }
    if (!setting.is(value)) throw new MizanError('invalid_request', `${param} ${setting.expected}.`, { param });
  }
  for (const [param, { isRequired, expected }] of Object.entries(known)) {
    if (isRequired !== true || settings[param] !== undefined) continue;
    throw new MizanError('invalid_request', `${param} ${expected}.`, { param });
  }
  return settings;
}
