import { cpus, loadavg } from 'node:os';

/** What the figures were measured on, in one line. */
export function machine(): string {
  const processors = cpus();
  return [
    `${processors.length} × ${processors[0]?.model.trim() ?? 'unknown processor'}`,
    `${process.platform} ${process.arch}`,
    `Node ${process.version}`,
    new Date().toISOString().slice(0, 10),
  ].join(', ');
}

/** Processors that were busy with something else, on average over the last minute. */
export function busyProcessors(): number {
  return loadavg()[0] ?? 0;
}
