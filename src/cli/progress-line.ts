/** Redrawn at most so often, in ms. */
const everyMs = 100;

const width = 30;

/** Draws on a terminal's stderr how far something is, on one line that it clears; says nothing elsewhere. */
export function progressLine(stream: NodeJS.WriteStream = process.stderr): {
  readonly isSeen: boolean;
  readonly show: (what: string, done: number, total: number) => void;
  readonly clear: () => void;
} {
  if (!stream.isTTY) return { isSeen: false, show() {}, clear() {} };
  let drawnAt = -Infinity;
  return {
    isSeen: true,
    show(what, done, total) {
      if (performance.now() - drawnAt < everyMs) return;
      drawnAt = performance.now();
      const share = total === 0 ? 1 : Math.min(1, done / total);
      const filled = Math.round(share * width);
      const bar = `${'█'.repeat(filled)}${'░'.repeat(width - filled)}`;
      stream.write(`\r\u{1b}[K${what} ${bar} ${Math.floor(share * 100)} %, ${done} rows`);
    },
    clear: () => void stream.write('\r\u{1b}[K'),
  };
}
