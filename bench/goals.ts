import type { Row } from './row.ts';

export interface Goal {
  readonly figure: string;
  readonly goal: string;
  readonly measured: string;
  readonly isReached: boolean;
}

/** What Mizan means to reach; a line only where everybody it takes was measured. */
export function goals(rows: readonly Row[], direct: Row): Goal[] {
  const present = new Map(rows.filter(({ unavailable }) => unavailable === null).map((row) => [row.name, row]));
  const mizan = present.get('mizan');
  const two = present.get('mizan-2');
  const nginx = present.get('nginx');
  const portkey = present.get('portkey');
  const reached: Goal[] = [];

  if (mizan && portkey) {
    const ratio = portkey.against(mizan, 'load', (theirs, ours) => theirs.cpuMicros / ours.cpuMicros);
    for (const part of [8, 10]) {
      reached.push({
        figure: part === 8 ? "CPU per request, of Portkey's, for now" : "CPU per request, of Portkey's",
        goal: `≤ 1/${part}`,
        measured: `1/${ratio.toFixed(1)}`,
        isReached: ratio >= part,
      });
    }
    const streamed = portkey.against(mizan, 'paced', (theirs, ours) => theirs.cpuMicros / ours.cpuMicros);
    if (Number.isFinite(streamed)) {
      const measured = `1/${streamed.toFixed(1)}`;
      reached.push({ figure: "CPU per paced stream, of Portkey's", goal: '–', measured, isReached: true });
    }
  }
  if (mizan && nginx) {
    const ratio = mizan.against(nginx, 'load', (ours, theirs) => ours.cpuMicros / theirs.cpuMicros);
    reached.push(atMost("CPU per request, of nginx's", ratio, 4.5, '×'));
    const ours = mizan.against(direct, 'single', (mine, theirs) => mine.p99 - theirs.p99);
    const theirs = nginx.against(direct, 'single', (mine, base) => mine.p99 - base.p99);
    reached.push(atMost('added p99 at one connection, of what nginx adds', ours / theirs, 3, '×'));
  }
  const hit = present.get('mizan-hit');
  if (mizan && hit) {
    const ratio = hit.against(mizan, 'load', (cached, forwarded) => cached.cpuMicros / forwarded.cpuMicros);
    reached.push(atMost("CPU per cached answer, of a forwarded one's", ratio, 0.6, '×'));
  }
  if (two && portkey) {
    const ratio = two.against(portkey, 'load', (ours, theirs) => ours.perSecond / theirs.perSecond);
    reached.push({
      figure: "requests/s of two workers, of Portkey's",
      goal: '≥ 8 ×',
      measured: `${ratio.toFixed(1)} ×`,
      isReached: ratio >= 8,
    });
  }
  if (mizan) {
    const added = mizan.against(direct, 'paced', (ours, theirs) => ours.firstByteP99 - theirs.firstByteP99);
    if (Number.isFinite(added)) reached.push(atMost('first token added at p99, paced streams', added, 2, 'ms'));
  }
  const bundle = present.get('mizan-bundle');
  if (mizan) reached.push(atMost('cold start to the first answer, from sources', mizan.coldStartMs, 500, 'ms'));
  if (bundle) reached.push(atMost('cold start to the first answer, as published', bundle.coldStartMs, 500, 'ms'));
  return reached;
}

function atMost(figure: string, measured: number, limit: number, unit: '×' | 'ms'): Goal {
  return {
    figure,
    goal: `≤ ${limit} ${unit}`,
    measured: `${measured.toFixed(limit < 1 ? 2 : limit < 100 ? 1 : 0)} ${unit}`,
    isReached: measured <= limit,
  };
}
