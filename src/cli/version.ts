import { readFileSync } from 'node:fs';

/** Of the package: two folders up from the sources, one from the bundle. */
function readVersion(): string {
  for (const path of ['../../package.json', '../package.json']) {
    try {
      const manifest = JSON.parse(readFileSync(new URL(path, import.meta.url), 'utf8')) as Record<string, unknown>;
      if (manifest['name'] === 'mizan') return String(manifest['version']);
    } catch {
      // Not there: the other place, then.
    }
  }
  return 'unknown';
}

export const version = readVersion();
