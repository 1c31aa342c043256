import type { Command } from 'commander';
import { budgetsOfKeys, currentStarts, knownUses, publicBudget } from '../core/budget-report.ts';
import { usdText } from '../core/money.ts';
import { everyTenant } from '../core/request-record.ts';
import type { CommonOptions } from './options.ts';
import { configOf, withCommonOptions } from './options.ts';
import { print, say, table } from './say.ts';
import { placeOf, withStore } from './with-store.ts';

interface Options extends CommonOptions {
  readonly json?: boolean;
}

/** `mizan budgets list|check` */
export function registerBudgets(program: Command): void {
  const budgets = program.command('budgets').description('what may be spent, and what was');
  withCommonOptions(budgets.command('list').description('all budgets with what was used of them in this period'))
    .option('--json', 'print JSON')
    .action(list);
  withCommonOptions(
    budgets.command('check').description('add the ledger up, against the request log and against what budgets paid'),
  )
    .option('--json', 'print JSON')
    .action(check);
}

async function list(options: Options): Promise<void> {
  const config = configOf(options);
  const now = Date.now();
  const budgets = await withStore(placeOf(options), async ({ ledger, limitRules, apiKeys }) => {
    const keys = apiKeys.list(everyTenant).filter(({ revokedAt }) => revokedAt === null);
    const rules = [...config.budgets, ...limitRules.budgets(), ...budgetsOfKeys(keys)];
    const known = knownUses(await ledger.uses(currentStarts(rules, now)));
    return rules.map((rule) => publicBudget(rule, known, now));
  });
  if (options.json === true) {
    print(JSON.stringify(budgets, null, 2));
    return;
  }
  const rows = budgets.flatMap(({ uses, ...budget }) =>
    uses.map((use) => [
      budget.source === 'key' ? `key ${budget.name}` : budget.name,
      Object.entries(use.for)
        .map(([field, value]) => `${field} ${value}`)
        .join(', ') || 'all',
      `${budget.usd} USD ${budget.per === 'total' ? 'in total' : `per ${budget.per}`}`,
      use.used_usd,
      use.left_usd,
      use.usd_per_day === null ? '-' : String(use.usd_per_day),
      use.spent_at ?? '-',
      budget.resets_at ?? '-',
    ]),
  );
  print(table(['BUDGET', 'FOR', 'SIZE', 'USED USD', 'LEFT USD', 'USD PER DAY', 'SPENT AT', 'RESETS AT'], rows));
}

async function check(options: Options): Promise<void> {
  const report = await withStore(placeOf(options), ({ ledger }) => ledger.check());
  const { rows, requests, budgets, faults } = report;
  if (options.json === true) {
    const shown = faults.map((fault) => ({
      ...fault,
      ledger: usdText(fault.ledger),
      expected: usdText(fault.expected),
    }));
    print(JSON.stringify({ rows, requests, budgets, sum_usd: usdText(report.sum), faults: shown }, null, 2));
  } else {
    for (const { what, id, ledger, expected } of faults) {
      print(`${what} ${id}: the ledger has ${usdText(ledger)} USD, expected ${usdText(expected)}`);
    }
    const sum = `${rows} rows of ${requests} requests: ${usdText(report.sum)} USD`;
    say(faults.length === 0 ? `The ledger adds up: ${sum}.` : `The ledger does not add up: ${sum}.`);
  }
  if (faults.length > 0) process.exitCode = 1;
}
