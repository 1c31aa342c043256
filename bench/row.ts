import { Unavailable } from './contestants/contestant.ts';
import type { Contestant, Site } from './contestants/contestant.ts';
import type { Phase, Sample } from './measure.ts';
import { start } from './running.ts';
import type { Running } from './running.ts';
import { median } from './stats.ts';
import { memory } from './system/procfs.ts';
import type { Memory } from './system/procfs.ts';

/** One contestant's part in a run of the bench, and all its figures. */
export class Row {
  readonly name: string;
  /** One sample a round, in the rounds' order. */
  readonly samples: Record<Phase, Sample[]> = { load: [], single: [], burst: [], paced: [] };
  readonly coldStartsMs: number[] = [];
  /** After the first answer. */
  memoryAtStart: Memory | null = null;
  memoryAfter: Memory | null = null;
  /** Why it does not take part. */
  unavailable: string | null = null;
  running: Running | null = null;

  constructor(name: string) {
    this.name = name;
  }

  /** Starts the contestant `starts` times, and leaves it running. */
  async open(contestant: Contestant, site: Site, starts: number): Promise<void> {
    try {
      const stand = await contestant.prepare(site);
      for (let i = 0; i < (stand.launch === null ? 1 : starts); i++) {
        await this.running?.gateway?.stop();
        this.running = await start(stand);
        this.coldStartsMs.push(this.running.coldStartMs);
      }
    } catch (error) {
      if (!(error instanceof Unavailable)) throw error;
      this.running = null;
      this.unavailable = error.message;
      return;
    }
    const { gateway } = this.running ?? {};
    if (gateway) this.memoryAtStart = memory(gateway.pid);
  }

  async close(): Promise<void> {
    const gateway = this.running?.gateway;
    if (!gateway) return;
    this.memoryAfter = memory(gateway.pid);
    await gateway.stop();
  }

  get coldStartMs(): number {
    return median(this.coldStartsMs);
  }

  /** The median over the rounds. */
  figure(phase: Phase, of: (sample: Sample) => number): number {
    return median(this.samples[phase].map(of));
  }

  /** The median over the rounds of a figure combined with another contestant's of the same round. */
  against(other: Row, phase: Phase, combine: (mine: Sample, theirs: Sample) => number): number {
    const rounds = this.samples[phase].flatMap((mine, i) => {
      const theirs = other.samples[phase][i];
      return theirs === undefined ? [] : [combine(mine, theirs)];
    });
    return median(rounds);
  }

  /** The figures alone: a running contestant holds credentials. */
  toJSON(): object {
    const { name, unavailable, samples, coldStartsMs, memoryAtStart, memoryAfter } = this;
    return { name, unavailable, samples, coldStartsMs, memoryAtStart, memoryAfter };
  }

  /** How many answers were wrong in all, and the first fault. */
  get faults(): { readonly wrong: number; readonly of: number; readonly first: string } | null {
    const all = Object.values(this.samples).flat();
    const wrong = all.reduce((sum, sample) => sum + sample.wrong, 0);
    if (wrong === 0) return null;
    const of = all.reduce((sum, sample) => sum + sample.wrong + sample.right, 0);
    return { wrong, of, first: all.find(({ firstWrong }) => firstWrong !== null)?.firstWrong ?? '' };
  }
}
