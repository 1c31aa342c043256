import { MizanError } from '../../core/errors.ts';
import type { JobSettings } from '../../core/jobs.ts';
import { systemTenant } from '../../core/jobs.ts';
import type { SealContext, Sealing } from '../../core/sealing.ts';

interface NamedOf {
  readonly name: string;
  readonly tenant: string;
}

interface RunOf {
  readonly id: string;
  readonly tenant: string;
}

/** What was sealed, if it can be opened: its key may have been destroyed, or not have arrived from elsewhere yet. */
export type Opened<T> = { readonly isReadable: true; readonly value: T } | { readonly isReadable: false };

/** Seals what the jobs of tenants are given and put out. What keeps Mizan itself going is nobody's secret. */
export class JobSeals {
  readonly #sealing: Sealing;

  constructor(sealing: Sealing) {
    this.#sealing = sealing;
  }

  /** `null` for what isn't sealed. */
  settings(job: NamedOf, settings: JobSettings): Buffer | null {
    return this.#seal(settings, job.tenant, contextOfJob(job));
  }

  /** Likewise; also where there is no output. */
  output(run: RunOf, output: unknown): Buffer | null {
    if (output === null || output === undefined) return null;
    return this.#seal(output, run.tenant, contextOfRun(run));
  }

  openSettings(job: NamedOf, sealed: Uint8Array): Opened<JobSettings> {
    return this.#open<JobSettings>(sealed, contextOfJob(job));
  }

  openOutput(run: RunOf, sealed: Uint8Array): Opened<unknown> {
    return this.#open(sealed, contextOfRun(run));
  }

  /** @throws MizanError `unsealable` */
  anew(sealed: Uint8Array, context: SealContext): Buffer {
    return this.#sealing.seal(this.#sealing.open(sealed, context), context);
  }

  #seal(value: unknown, tenant: string, context: SealContext): Buffer | null {
    return tenant === systemTenant ? null : this.#sealing.seal(Buffer.from(JSON.stringify(value)), context);
  }

  #open<T>(sealed: Uint8Array, context: SealContext): Opened<T> {
    try {
      return { isReadable: true, value: JSON.parse(this.#sealing.open(sealed, context).toString()) as T };
    } catch (error) {
      if (error instanceof MizanError && error.code === 'unsealable') return { isReadable: false };
      throw error;
    }
  }
}

export function contextOfJob({ name, tenant }: NamedOf): SealContext {
  return { tenant, purpose: 'job', row: `settings ${name}` };
}

export function contextOfRun({ id, tenant }: RunOf): SealContext {
  return { tenant, purpose: 'job', row: `output ${id}` };
}
