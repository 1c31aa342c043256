import type { SealPurpose } from '../../core/sealing.ts';
import { sealPurposes } from '../../core/sealing.ts';
import type { JobType } from '../contract.ts';
import { checkedSettings } from '../settings.ts';

/** What can be sealed under new keys. */
export interface KeyRing {
  /** New data keys for all tenants; what was sealed before is sealed anew behind it. @param purpose Of these only. */
  rotate(purpose: SealPurpose | undefined): number;
}

/** Makes new data keys. */
export function keyRotation(ring: KeyRing): JobType {
  return {
    name: 'key-rotation',
    async run({ job, say, confirm }) {
      await confirm();
      const { purpose } = job.settings as { readonly purpose?: SealPurpose };
      const keys = ring.rotate(purpose);
      say(`${keys} data keys are new; what was sealed under the old ones is sealed anew in the background.`);
      return { keys };
    },
    check: (settings) =>
      checkedSettings(settings, {
        purpose: {
          expected: `must be a purpose of data keys: ${sealPurposes.join(', ')}`,
          is: (value) => sealPurposes.some((purpose) => purpose === value),
        },
      }),
  };
}
