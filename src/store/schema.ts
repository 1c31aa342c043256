/** The tables, as Kysely sees them. Times are ms since the Unix epoch; JSON is text. */
export interface Database {
  requests: RequestsTable;
  attempts: AttemptsTable;
  api_keys: ApiKeysTable;
  api_key_uses: ApiKeyUsesTable;
  token_revocations: TokenRevocationsTable;
  identity_revision: { revision: number };
  data_keys: DataKeysTable;
  sealed_values: SealedValuesTable;
  seen_messages: SeenMessagesTable;
  audit: AuditTable;
  audit_copies: AuditCopiesTable;
  payloads: PayloadsTable;
  rollups: RollupsTable;
  rollups_due: RollupsDueTable;
  limit_rules: LimitRulesTable;
  prices: PricesTable;
  unfinished_purges: { note: string };
  ledger: LedgerTable;
  budget_use: BudgetUseTable;
  jobs: JobsTable;
  job_runs: JobRunsTable;
  instance_minutes: InstanceMinutesTable;
  instance_checks: InstanceChecksTable;
  notices: NoticesTable;
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
  queued_ms: number | null;
  upstream_ms: number;
  first_token_ms: number | null;
  finish_reason: string | null;
  resumed: number;
  session: string | null;
  /** A JSON object of texts. */
  tags: string | null;
  error_message: string | null;
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
  /** The hash of the rest, sealed: without it the row is not believed. */
  sealed: Uint8Array | null;
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
  /** Of tokens for one tenant; of tokens for every tenant `any_revoked_at`, or null where it doesn't reach them. */
  revoked_at: number;
  any_revoked_at: number | null;
  expires_at: number | null;
}

/** What was said, compressed and sealed; in a table of its own, since it is large and kept for less long. */
export interface PayloadsTable {
  tenant: string;
  request_id: string;
  sealed: Uint8Array;
  /** As they were before they were cut and compressed. */
  request_bytes: number;
  answer_bytes: number;
  is_cut: number;
}

/** Sums over the requests that arrived within `grain` seconds from `start` on. `''` stands for none. */
export interface RollupsTable {
  tenant: string;
  grain: number;
  start: number;
  agent: string;
  model: string;
  instance: string;
  requests: number;
  errors: number;
  input_tokens: number;
  output_tokens: number;
  cost_usd: number;
  /** How many requests fell into which bin of latencies: see `sketch.ts`. */
  latency: string;
}

/** Minutes (since the epoch) whose sums are not those of the log any more. */
export interface RollupsDueTable {
  minute: number;
}

/** Keys that seal, wrapped by a master key. */
export interface DataKeysTable {
  id: string;
  tenant: string;
  purpose: string;
  state: string;
  /** The id of the master key. */
  master: string;
  wrapped: Uint8Array;
  uses: number;
  created_at: number;
  retired_at: number | null;
}

/** Values that are read by name: what `mizan secrets set` stores, and the server's own keys. */
export interface SealedValuesTable {
  kind: string;
  name: string;
  sealed: Uint8Array;
  created_at: number;
  updated_at: number;
}

/** Encrypted requests that came, by the hash of tenant and `jti`. */
export interface SeenMessagesTable {
  id: Uint8Array;
  /** Who sent it; empty for those from before that was noted. */
  tenant: string;
  expires_at: number;
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

/** What the audit logs of the machines on one PostgreSQL have, there. */
export interface AuditCopiesTable extends Omit<AuditTable, 'mac'> {
  /** Names the log by its key, without saying what that is. */
  log: string;
  /** The machine's own name, where it was written. */
  host: string;
  /** In hex. */
  mac: string;
}

/** Prices of models as their sources had them. */
export interface PricesTable {
  /** `openrouter`, or a URL. */
  origin: string;
  fetched_at: number;
  /** JSON. */
  tables: string;
  /** JSON: those that are not believed yet. */
  doubted: string;
}

/** Limits and budgets that were made while Mizan ran. */
export interface LimitRulesTable {
  /** `limit` or `budget`. */
  kind: string;
  name: string;
  /** JSON. */
  rule: string;
  created_at: number;
}

/** What each attempt cost, where a budget paid for any of its request. */
export interface LedgerTable {
  request_id: string;
  /** From 0. */
  seq: number;
  tenant: string;
  model: string;
  /** In picodollars. */
  cost: number;
  /** JSON: the budgets that paid, each with the start of its period. */
  budgets: string;
}

/** Sums of the ledger, in picodollars. */
export interface BudgetUseTable {
  budget: string;
  start: number;
  used: string;
  /** Of what the ledger has no rows of any more. */
  archived: string;
}

/** Jobs as they were asked for. */
export interface JobsTable {
  name: string;
  tenant: string;
  source: string;
  /** A `JobSpec` in JSON. */
  spec: string;
  /** Of all jobs, the highest one changes with every change. */
  revision: number;
  cursor: number;
  paused_at: number | null;
  paused_by: string | null;
  /** Gone, and still there so that others see that it went. */
  removed_at: number | null;
  created_by: string;
  created_at: number;
  /** The settings of a tenant's job; those in `spec` are empty then. */
  sealed: Uint8Array | null;
}

/** Due times of jobs, and what became of them. */
export interface JobRunsTable {
  id: string;
  job: string;
  due: number;
  tenant: string;
  cause: string;
  started_by: string;
  status: string;
  /** 1 where no other run of the job may go on beside it. */
  exclusive: number;
  available_at: number;
  attempts: number;
  /** Counts up with every take-over; likewise `beat` with every sign of life. */
  token: number;
  beat: number;
  owner: string | null;
  started_at: number | null;
  ended_at: number | null;
  /** JSON; `null` where it is sealed. */
  output: string | null;
  error: string | null;
  log: string;
  /** The output of a tenant's job. */
  sealed: Uint8Array | null;
}

/** What came of an instance's attempts in the minute from `start` on, and of questions to it. */
export interface InstanceMinutesTable {
  model: string;
  instance: string;
  start: number;
  ok: number;
  failed: number;
  ok_ms: number;
  asked: number;
  unanswered: number;
}

/** How each instance did when it was looked at last. */
export interface InstanceChecksTable {
  model: string;
  instance: string;
  state: string;
  source: string;
  latency_ms: number | null;
  /** From 0 to 1. */
  uptime_m5: number | null;
  uptime_h1: number | null;
  uptime_d1: number | null;
  detail: string | null;
  downs: number;
  since: number;
  checked_at: number;
}

/** What people were told, and when. */
export interface NoticesTable {
  key: string;
  told_at: number;
}
