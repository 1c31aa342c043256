import { setTimeout as wait } from 'node:timers/promises';
import type { Config } from '../config/config.ts';
import type { Clock } from '../core/clock.ts';
import type { PostWebhook } from '../core/webhooks.ts';
import { guardedFetch } from '../egress/fetch.ts';
import type { EgressGuard } from '../egress/guard.ts';
import { webhookPoster } from '../scheduler/webhooks.ts';

/** Posts to the webhooks of the configuration. */
export function webhooksOf({ schedule }: Config, guard: EgressGuard, clock: Clock): PostWebhook {
  const { webhooks } = schedule;
  return webhookPoster({ webhooks, outgoing: guardedFetch(guard), clock, pause: pausing });
}

/** @throws The signal's reason. */
async function pausing(ms: number, signal: AbortSignal): Promise<void> {
  await wait(ms, undefined, { signal, ref: false });
}
