import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { ErrorFacts } from '../src/core/errors.ts';
import { errorTable } from '../src/core/errors.ts';

/** The page that is generated. */
export const errorsDoc = new URL('../docs/en/errors.md', import.meta.url);

const introduction = `# Errors

<!-- Generated from src/core/errors.ts by \`node scripts/errors-doc.ts --write\`. Don't edit it by hand. -->

Every error on every route has one shape:

\`\`\`json
{
  "error": {
    "code": "no_healthy_instance",
    "type": "unavailable",
    "message": "The model \\"fast\\" has no instance that could answer.",
    "param": null,
    "request_id": "req_01m0znhp40x5v2e8w7k3t9qabc"
  }
}
\`\`\`

- \`code\` is stable: programs may rely on it. New codes may be added.
- \`type\` is the family of the code, for programs that don't know every code.
- \`message\` is for people and may change. It never holds a secret, a stack or an upstream's key.
- \`param\` names the field, query parameter or header that is at fault, or is \`null\`.
- \`request_id\` is the one of the \`x-request-id\` header and of the request log. It is \`null\` only where there was no
  request yet: bytes that are no HTTP, headers over the limit, headers that never came.

A stream that has begun can't change its status any more: there the same object comes as the last event of the stream
(see [http.md](http.md#streams)).

*Again?* says whether the same request may succeed if it is sent again. Where the answer has a \`Retry-After\` header,
wait for as many seconds first.

| Code | Status | Type | Again? | When |
| --- | --- | --- | --- | --- |
`;

/** The page, as it should be. */
export function errorsPage(): string {
  const rows = Object.entries<ErrorFacts>(errorTable).map(
    ([code, { status, type, retryable, meaning }]) =>
      `| \`${code}\` | ${status} | \`${type}\` | ${retryable ? 'yes' : 'no'} | ${meaning} |`,
  );
  return `${introduction}${rows.join('\n')}\n`;
}

if (import.meta.main) {
  const page = errorsPage();
  if (!process.argv.includes('--write')) {
    process.stdout.write(page);
  } else if (page !== readExisting()) {
    writeFileSync(errorsDoc, page);
    process.stderr.write(`${fileURLToPath(errorsDoc)} is written.\n`);
  }
}

function readExisting(): string | null {
  try {
    return readFileSync(errorsDoc, 'utf8');
  } catch {
    return null;
  }
}
