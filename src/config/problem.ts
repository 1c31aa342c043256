/** Where a problem is: a place in a file, or the part of the world that a value came from. */
export interface Origin {
  /** A file as it was named, `environment` or `command line`. */
  readonly source: string;
  /** From 1; `null` where the source has no lines. Likewise `column`, in UTF-16 units. */
  readonly line: number | null;
  readonly column: number | null;
}

/** One thing that is wrong with the configuration. It never holds the value of a secret. */
export interface Problem extends Origin {
  /** `models.fast.instances[1].weight`, or the name of a variable or option; `''` for the file as a whole. */
  readonly path: string;
  /** What was expected, what was found, and the nearest known name. */
  readonly message: string;
}

/** `mizan.yaml:7:5 models.fast.stratgy: unknown key; did you mean "strategy"?` */
export function formatProblem({ source, line, column, path, message }: Problem): string {
  const place = line === null ? source : `${source}:${line}:${column ?? 1}`;
  return path === '' ? `${place}: ${message}` : `${place} ${path}: ${message}`;
}

/** Everything that is wrong with a configuration. Thrown at start only: exit code 2. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  /** At least one; in the order of the file. */
  readonly problems: readonly Problem[];

  constructor(problems: readonly Problem[]) {
    super(problems.map(formatProblem).join('\n'));
    this.problems = problems;
  }
}

/** So many are told; a file of garbage has more than anyone reads. */
const maxProblems = 100;

/** By line; one for each path, since what follows from a problem is none of its own. */
export function inOrder(problems: readonly Problem[]): Problem[] {
  const byPath = new Map<string, Problem>();
  for (const problem of problems) {
    const key = problem.path === '' ? `${problem.source}:${problem.line}` : problem.path;
    if (!byPath.has(key)) byPath.set(key, problem);
  }
  const ordered = [...byPath.values()].toSorted(
    (a, b) => (a.line ?? Infinity) - (b.line ?? Infinity) || (a.column ?? 0) - (b.column ?? 0) || 0,
  );
  const rest = ordered.length - maxProblems;
  const last = ordered[maxProblems - 1];
  if (rest <= 0 || last === undefined) return ordered;
  return [...ordered.slice(0, maxProblems), { ...last, path: '', message: `and ${rest} more problems from here on` }];
}
