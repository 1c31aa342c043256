import type { Progress } from '../store/backup/contract.ts';

/** Redrawn at most so often, in ms. */
const everyMs = 100;

const width = 30;

/** Draws how far something is on a terminal's stderr, on one line that it clears at the end; says nothing elsewhere. */
export function progressBar(stream: NodeJS.WriteStream = process.stderr): {
  readonly show: (progress: Progress) => void;
  readonly clear: () => void;
} {
  if (!stream.isTTY) return { show() {}, clear() {} };
  let last: { readonly step: string; readonly at: number } | null = null;
  return {
    show({ step, done, total }) {
      const now = performance.now();
      if (last?.step === step && now - last.at < everyMs) return;
      last = { step, at: now };
      const share = total === 0 ? 0 : Math.min(1, done / total);
      const filled = Math.round(share * width);
      const bar = `${'█'.repeat(filled)}${'░'.repeat(width - filled)}`;
      stream.write(`\r\u{1b}[K${step.padEnd(11)} ${bar} ${String(Math.floor(share * 100)).padStart(3)} %`);
    },
    clear() {
      if (last !== null) stream.write('\r\u{1b}[K');
      last = null;
    },
  };
}
