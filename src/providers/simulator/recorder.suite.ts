import type { Stage } from './playback.ts';
import type { Death } from './script.ts';

/** A stage that notes what happens on it. */
export class Recorder implements Stage {
  status = 0;
  headers: Readonly<Record<string, string>> = {};
  readonly chunks: Buffer[] = [];
  ending: 'end' | Death | null = null;
  onData: () => void = () => {};

  head(status: number, headers: Readonly<Record<string, string>>): void {
    this.status = status;
    this.headers = headers;
  }

  data(bytes: Buffer): void {
    this.chunks.push(bytes);
    this.onData();
  }

  end(): void {
    this.ending = 'end';
  }

  die(death: Death): void {
    this.ending = death;
  }

  get text(): string {
    return Buffer.concat(this.chunks).toString();
  }

  /** The data of the stream's whole events. */
  get events(): string[] {
    return this.text
      .split('\n\n')
      .slice(0, -1)
      .map((event) => event.replace(/^data: /, ''));
  }
}
