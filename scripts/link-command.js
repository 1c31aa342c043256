// Plain JavaScript: `npm ci` runs it with whatever Node is installed. It puts this clone's own command where npx looks
// first; npx would find it without, by way of its cache, with warnings and 0.2 s later.
import { existsSync, rmSync, symlinkSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const commands = new URL('../node_modules/.bin/', import.meta.url);

if (process.platform !== 'win32' && existsSync(commands)) {
  const link = fileURLToPath(new URL('mizan', commands));
  rmSync(link, { force: true });
  symlinkSync('../../bin/mizan.js', link);
}
