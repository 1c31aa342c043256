import type { Command } from 'commander';
import type { InstanceCheck } from '../core/model-health.ts';
import { publicCheck } from '../core/model-health.ts';
import type { CommonOptions } from './options.ts';
import { configOf, withCommonOptions } from './options.ts';
import { print, say, sayError, table } from './say.ts';
import { placeOf, withStore } from './with-store.ts';

interface InstancesOptions extends CommonOptions {
  readonly json?: boolean;
}

/** `mizan instances` */
export function registerInstances(program: Command): void {
  withCommonOptions(
    program
      .command('instances')
      .description('how every instance of every model does, by the last look of model-health'),
  )
    .option('--json', 'print JSON')
    .action((options: InstancesOptions) => list(options).catch(sayError));
}

async function list(options: InstancesOptions): Promise<void> {
  const config = configOf(options);
  const checks = await withStore(placeOf(options), (store) => store.modelHealth.checks());
  const rows = Object.entries(config.models).flatMap(([model, { instances }]) =>
    instances.map(({ id, provider }) => {
      const check = checks.find((each) => each.model === model && each.instance === id);
      return { model, instance: id, provider, check };
    }),
  );
  if (options.json === true) {
    const shown = rows.map(({ check, ...row }) => ({ ...row, check: check === undefined ? null : publicCheck(check) }));
    print(JSON.stringify(shown, null, 2));
  } else if (rows.length === 0) say('The configuration has no instances.');
  else
    print(
      table(
        titles,
        rows.map(({ model, instance, provider, check }) => [model, instance, provider, ...cells(check)]),
      ),
    );
}

const titles = ['MODEL', 'INSTANCE', 'PROVIDER', 'STATE', 'BY', 'MS', '5 MIN', '1 H', '1 D', 'LOOKED AT', 'DETAIL'];

function cells(check: InstanceCheck | undefined): string[] {
  if (check === undefined) return ['not looked at yet', '-', '-', '-', '-', '-', '-', ''];
  const { state, source, latencyMs, uptime, checkedAt, detail } = check;
  const looked = new Date(checkedAt).toISOString().replace('T', ' ').slice(0, 19);
  const shares = [uptime.m5, uptime.h1, uptime.d1].map((share) =>
    share === null ? '-' : `${(share * 100).toFixed(1)} %`,
  );
  return [state, source, latencyMs === null ? '-' : String(latencyMs), ...shares, `${looked}Z`, detail ?? ''];
}
