/**
 * Which folder of `src/` may import from which others, besides itself and npm or Node modules. A name that ends in
 * `.ts` is one file. The linter enforces it (`oxlint.config.ts`), and `test/boundaries.test.ts` sees each rule bite.
 */
export const mayImport: Readonly<Record<string, readonly string[]>> = {
  core: [],
  egress: ['core'],
  config: ['core', 'providers/catalogue.ts', 'egress/rules.ts', 'providers/simulator'],
  edge: ['core', 'flow', 'security', 'telemetry'],
  flow: ['core', 'telemetry'],
  providers: ['core', 'egress'],
  security: ['core'],
  store: ['core', 'egress', 'security'],
  redis: ['core'],
  scheduler: ['core', 'telemetry'],
  telemetry: ['core'],
  cli: ['core', 'config', 'egress', 'main.ts', 'scheduler', 'security', 'store', 'providers', '../package.json'],
  // What the composition root builds of several rooms, room by room.
  compose: ['core', 'config', 'egress', 'flow', 'redis', 'scheduler', 'store', 'telemetry'],
  'main.ts': [
    'compose',
    'core',
    'config',
    'edge',
    'egress',
    'flow',
    'providers',
    'security',
    'store',
    'redis',
    'scheduler',
    'telemetry',
    '../package.json',
  ],
};

/** How many folders below `src/` a file may lie; the rules are written out for each depth. */
export const deepest = 5;

const isFile = (name: string): boolean => /\.\w+$/.test(name);

/** A specifier that climbs after it has gone down could reach anything, so it is refused everywhere. */
const detours = { regex: String.raw`^\./.*\.\./|[^./]/\.\./`, message: 'Write the path without a detour.' };

const tests = { regex: String.raw`\.(?:test|suite)\.ts$`, message: 'Only tests import tests.' };

type Pattern = { group: string[]; message: string } | { regex: string; message: string };

interface BoundaryRule {
  files: string[];
  rules: { 'no-restricted-imports': ['error', { patterns: Pattern[] }] | 'off' };
}

/** How a file that lies `depth` folders below `src/` writes a path from `src/`. */
function written(name: string, depth: number): string {
  const whole = isFile(name) ? name : `${name}/**`;
  return depth === 0 && !whole.startsWith('../') ? `./${whole}` : `${'../'.repeat(depth)}${whole}`;
}

function ruleAt(folder: string, depth: number): BoundaryRule {
  const allowed = mayImport[folder] ?? [];
  const reach = depth === 0 ? allowed : [folder, ...allowed];
  const group = [
    ...(depth === 0 ? ['./**', '../**'] : [`${'../'.repeat(depth)}**`]),
    ...reach.map((name) => `!${written(name, depth)}`),
  ];
  const message = `${folder} imports ${allowed.length === 0 ? 'nothing else' : `only ${allowed.join(', ')}`} from this repository.`;
  return {
    files: [depth === 0 ? `src/${folder}` : `src/${folder}/${'*/'.repeat(depth - 1)}*.ts`],
    rules: { 'no-restricted-imports': ['error', { patterns: [{ group, message }, detours, tests] }] },
  };
}

/** The table as overrides for oxlint: one per folder and depth, since relative paths differ in each. */
export function boundaryRules(): BoundaryRule[] {
  const rules = Object.keys(mayImport).flatMap((folder) =>
    isFile(folder) ? [ruleAt(folder, 0)] : Array.from({ length: deepest }, (_, i) => ruleAt(folder, i + 1)),
  );
  return [...rules, { files: ['**/*.test.ts', '**/*.suite.ts'], rules: { 'no-restricted-imports': 'off' } }];
}
