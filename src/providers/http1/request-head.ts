/** What could end a line, or the head itself, before its time. */
const notInHeaders = /[^\t\x20-\x7e\x80-\xff]/;
const notInPaths = /[^\x21-\x7e]/;
const token = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;

/** Headers are the same objects again and again: those of a provider. */
const written = new WeakMap<object, string>();

export interface RequestHead {
  readonly method?: 'GET' | 'POST' | undefined;
  /** With its port, where that isn't the scheme's own. */
  readonly host: string;
  /** From the root. */
  readonly path: string;
  /** All that go with the request, but for `host`, `connection` and `content-length`. Never changed afterwards. */
  readonly headers: Readonly<Record<string, string>>;
  /** In bytes. */
  readonly contentLength: number;
}

/**
 * The head of a request (RFC 9112 §3), in latin1, with the blank line that ends it; of a POST where nothing is said.
 * @throws Error with the code `ERR_INVALID_CHAR` where it would not be one head.
 */
export function requestHead({ method, host, path, headers, contentLength }: RequestHead): string {
  if (!path.startsWith('/') || notInPaths.test(path)) throw invalid('The path');
  let lines = written.get(headers);
  if (lines === undefined) written.set(headers, (lines = linesOf(headers)));
  if (method === 'GET') return `GET ${path} HTTP/1.1\r\nhost: ${host}\r\nconnection: keep-alive\r\n${lines}\r\n`;
  return `POST ${path} HTTP/1.1\r\nhost: ${host}\r\nconnection: keep-alive\r\n${lines}content-length: ${contentLength}\r\n\r\n`;
}

function linesOf(headers: Readonly<Record<string, string>>): string {
  let lines = '';
  for (const [name, value] of Object.entries(headers)) {
    if (!token.test(name) || notInHeaders.test(value)) throw invalid(`The header ${JSON.stringify(name)}`);
    lines += `${name}: ${value}\r\n`;
  }
  return lines;
}

function invalid(what: string): Error {
  return Object.assign(new Error(`${what} holds a character that may not stand there.`), { code: 'ERR_INVALID_CHAR' });
}
