/** The body of every error in OpenAI's dialect. */
export interface OpenAiErrorBody {
  readonly error: {
    readonly message: string;
    readonly type: string;
    readonly param: string | null;
    readonly code: string | null;
  };
}

/** A request that the simulator refuses, in the words OpenAI would use. It does not leave this folder. */
export class Refusal extends Error {
  override readonly name = 'Refusal';
  readonly status: number;
  readonly param: string | null;
  readonly code: string | null;

  constructor(status: number, message: string, details: { readonly param?: string; readonly code?: string } = {}) {
    super(message);
    this.status = status;
    this.param = details.param ?? null;
    this.code = details.code ?? null;
  }

  body(): OpenAiErrorBody {
    const type = facts.get(this.status)?.type ?? defaultType(this.status);
    return { error: { message: this.message, type, param: this.param, code: this.code } };
  }
}

interface StatusFacts {
  readonly type: string;
  readonly code: string | null;
  readonly message: string;
}

/** What OpenAI says with a status. Others are said in general words. */
const facts: ReadonlyMap<number, StatusFacts> = new Map([
  [400, { type: 'invalid_request_error', code: null, message: 'The request is invalid.' }],
  [401, { type: 'invalid_request_error', code: 'invalid_api_key', message: 'Incorrect API key provided.' }],
  [402, { type: 'insufficient_quota', code: 'insufficient_quota', message: 'The account has no credit left.' }],
  [403, { type: 'invalid_request_error', code: null, message: 'You are not allowed to do this.' }],
  [404, { type: 'invalid_request_error', code: 'model_not_found', message: 'The model does not exist.' }],
  [413, { type: 'invalid_request_error', code: null, message: 'The request is too large.' }],
  [
    429,
    { type: 'rate_limit_error', code: 'rate_limit_exceeded', message: 'Rate limit reached. Please try again later.' },
  ],
  [500, { type: 'server_error', code: null, message: 'The server had an error while processing your request.' }],
  [503, { type: 'server_error', code: null, message: 'The engine is currently overloaded, please try again later.' }],
]);

function defaultType(status: number): string {
  return status >= 500 ? 'server_error' : 'invalid_request_error';
}

/** What an upstream says that fails with `status` for no fault of the request. */
export function simulatedError(status: number): OpenAiErrorBody {
  const known = facts.get(status);
  const message = known?.message ?? `The request failed with status ${status}.`;
  const code = known?.code ?? null;
  return { error: { message: `${message} (simulated)`, type: known?.type ?? defaultType(status), param: null, code } };
}
