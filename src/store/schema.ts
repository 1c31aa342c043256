/** The tables, as Kysely sees them. Times are ms since the Unix epoch; JSON is text. */
export interface Database {
  requests: RequestsTable;
  attempts: AttemptsTable;
  api_keys: ApiKeysTable;
  api_key_uses: ApiKeyUsesTable;
  token_revocations: TokenRevocationsTable;
  identity_revision: { revision: number };
  audit: AuditTable;
}

export interface RequestsTable {
  id: string;
  time: number;
  tenant: string;
  principal: string;
  agent: string | null;
  model: string | null;
  instance: string | null;
  provider: string | null;
  stream: number;
  status: number;
  error_code: string | null;
  attempts: number;
  cache: string;
  input_tokens: number | null;
  output_tokens: number | null;
  cost_usd: number | null;
  usage_source: string;
  gateway_ms: number;
  upstream_ms: number;
  first_token_ms: number | null;
  finish_reason: string | null;
  resumed: number;
}

/** Child rows of the requests that took more than one attempt. */
export interface AttemptsTable {
  request_id: string;
  /** From 0. */
  seq: number;
  model: string;
  instance: string;
  provider: string;
  purpose: string;
  outcome: string;
  detail: string | null;
  started_ms: number;
  duration_ms: number;
}

export interface ApiKeysTable {
  id: string;
  hash: string;
  name: string;
  tenant: string;
  role: string;
  /** A JSON array of names, or null for all. */
  agents: string | null;
  created_at: number;
  expires_at: number | null;
  revoked_at: number | null;
  /** A JSON array of names, or null. */
  models: string | null;
  /** 1 where it may look after every tenant. */
  any_tenant: number;
  /** A JSON object, or null for none. */
  limits: string | null;
  rotated_at: number | null;
  previous_hash: string | null;
  previous_until: number | null;
}

/** Apart from the keys themselves, so that noting a use rewrites no key. */
export interface ApiKeyUsesTable {
  id: string;
  last_used_at: number;
}

export interface TokenRevocationsTable {
  kind: string;
  value: string;
  /** Empty for every tenant. */
  tenant: string;
  revoked_at: number;
  expires_at: number | null;
}

/** Appended to, never changed. */
export interface AuditTable {
  /** From 1, without gaps. */
  seq: number;
  time: number;
  tenant: string;
  action: string;
  outcome: string;
  /** JSON, or null where nobody proved who they are. */
  actor: string | null;
  target: string | null;
  /** JSON; likewise `after`. */
  before: string | null;
  after: string | null;
  from_address: string | null;
  request_id: string | null;
  count: number;
  /** Over the row and the `mac` before it; 32 bytes. */
  mac: Uint8Array;
}
