import type { Config } from '../config/config.ts';
import type { Secret } from '../core/secret.ts';
import { guardedFetch } from '../egress/fetch.ts';
import type { EgressGuard } from '../egress/guard.ts';
import type { BudgetAlert } from '../flow/limits/alerts.ts';
import type { Log } from '../telemetry/log.ts';

/** Between two tries to reach the webhook, in ms. */
const webhookPauseMs = 5000;

/** Budgets' alerts: into the log, and to the webhook where there is one, which is tried three times. */
export function budgetAlerts(config: Config, guard: EgressGuard, log: Log): (alert: BudgetAlert) => void {
  const { webhook } = config.limiting;
  const outgoing = guardedFetch(guard);
  const send = async (url: Secret<string>, alert: BudgetAlert, tries: number): Promise<void> => {
    try {
      const body = JSON.stringify(alert);
      const headers = { 'content-type': 'application/json' };
      const answer = await outgoing({
        url: url.reveal(),
        method: 'POST',
        headers,
        body,
        namedBy: 'config',
        maxBytes: 65_536,
        deadlineMs: 10_000,
      });
      if (answer.status >= 300) throw new Error(`The webhook answered ${answer.status}.`);
    } catch (err) {
      if (tries <= 1) log.error({ event: 'budget_alert_failed', budget: alert.budget, percent: alert.percent, err });
      else setTimeout(() => void send(url, alert, tries - 1), webhookPauseMs).unref();
    }
  };
  return (alert) => {
    log.warn({ ...alert, event: 'budget_alert' });
    if (webhook !== null) void send(webhook, alert, 3);
  };
}
