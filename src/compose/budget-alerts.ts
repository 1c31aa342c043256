import { createHash } from 'node:crypto';
import type { PostWebhook, WebhookMessage } from '../core/webhooks.ts';
import type { BudgetAlert } from '../flow/limits/alerts.ts';
import type { Log } from '../telemetry/log.ts';

/** How long an alert may take over all its tries, in ms. */
const deadlineMs = 120_000;

/** Budgets' alerts: into the log, and to the webhooks that want them. */
export function budgetAlerts(webhooks: readonly string[], post: PostWebhook, log: Log): (alert: BudgetAlert) => void {
  return (alert) => {
    log.warn({ ...alert, event: 'budget_alert' });
    for (const webhook of webhooks) {
      post(webhook, messageOf(alert), AbortSignal.timeout(deadlineMs)).catch((err: unknown) => {
        log.error({ event: 'budget_alert_failed', webhook, budget: alert.budget, percent: alert.percent, err });
      });
    }
  };
}

/** Several machines that see the same share reached tell it under the same id. */
function messageOf({ event: type, ...data }: BudgetAlert): WebhookMessage {
  const { budget, for: subject, percent, used_usd: used, usd, per, resets_at: end } = data;
  const id = createHash('sha256')
    .update(JSON.stringify([budget, subject, percent, end]))
    .digest('hex')
    .slice(0, 32);
  const whose = Object.entries(subject).map(([field, value]) => `${field} ${String(value)}`);
  const size = `${usd} USD ${per === 'total' ? 'in total' : `per ${per}`}`;
  const text = `The budget "${budget}"${whose.length === 0 ? '' : ` (${whose.join(', ')})`} has reached ${percent} %: ${used} of ${size} are used.`;
  return { id: `alert_${id}`, type, text, data };
}
