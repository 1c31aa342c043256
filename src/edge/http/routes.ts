import type { FastifyReply, FastifyRequest } from 'fastify';
import { listAudit } from '../admin/audit.ts';
import { createBackup, listBackups } from '../admin/backups.ts';
import { purgeCache, showCache } from '../admin/cache.ts';
import { listBudgets, putBudget, removeBudget } from '../admin/budgets.ts';
import { listInstances } from '../admin/instances.ts';
import {
  createJob,
  getJob,
  getJobRun,
  listJobRuns,
  listJobs,
  pauseJob,
  removeJob,
  resumeJob,
  runJob,
} from '../admin/jobs.ts';
import { createKey, listKeys, revokeKey, rotateKey } from '../admin/keys.ts';
import { listLimits, putLimit, removeLimit } from '../admin/limits.ts';
import { getOverview } from '../admin/overview.ts';
import { listPrices } from '../admin/prices.ts';
import { getRequest, listRequests } from '../admin/requests.ts';
import { explainRoute } from '../admin/route.ts';
import { decryptData, encryptData, publishKeys } from '../admin/security.ts';
import { listRevocations, revokeTokens } from '../admin/tokens.ts';
import type { Access } from '../auth/authorise.ts';
import { chatCompletions } from '../openai/chat-completions.ts';
import { getModel, listModels } from '../openai/models.ts';
import { answerProcess } from '../process/encrypted.ts';
import type { Dialect } from './call.ts';
import { answerCall } from './call.ts';
import type { EdgeContext } from './context.ts';
import { healthz, readyz } from './health.ts';

type Handler = (context: EdgeContext, request: FastifyRequest, reply: FastifyReply) => Promise<unknown>;

export interface Route extends Access {
  readonly method: 'GET' | 'POST' | 'DELETE';
  readonly url: string;
  /** A POST of `/api` that changes nothing, and so is no administrative action. */
  readonly isReading?: boolean;
  readonly handler: Handler;
  /** Whether it takes bodies in `application/jose`, too. */
  readonly takesJose?: boolean;
}

/** All routes: who may use each, and whose data it touches. */
export const routes: readonly Route[] = [
  { method: 'POST', url: '/ai-process', role: 'member', tenant: 'own', handler: answerProcess, takesJose: true },
  { method: 'POST', url: '/v1/chat/completions', role: 'member', tenant: 'own', handler: calls(chatCompletions) },
  { method: 'GET', url: '/v1/models', role: 'viewer', tenant: 'none', handler: listModels },
  { method: 'GET', url: '/v1/models/*', role: 'viewer', tenant: 'none', handler: getModel },
  { method: 'GET', url: '/api/requests', role: 'viewer', tenant: 'any', handler: listRequests },
  { method: 'GET', url: '/api/requests/:id', role: 'viewer', tenant: 'any', handler: getRequest },
  { method: 'GET', url: '/api/overview', role: 'viewer', tenant: 'any', handler: getOverview },
  { method: 'GET', url: '/api/instances', role: 'viewer', tenant: 'none', handler: listInstances },
  { method: 'GET', url: '/api/prices', role: 'viewer', tenant: 'none', handler: listPrices },
  { method: 'GET', url: '/api/cache', role: 'operator', tenant: 'any', handler: showCache },
  { method: 'DELETE', url: '/api/cache', role: 'operator', tenant: 'any', handler: purgeCache },
  { method: 'POST', url: '/api/route/explain', role: 'member', tenant: 'own', isReading: true, handler: explainRoute },
  { method: 'GET', url: '/api/keys', role: 'admin', tenant: 'any', handler: listKeys },
  { method: 'POST', url: '/api/keys', role: 'admin', tenant: 'any', handler: createKey },
  { method: 'POST', url: '/api/keys/:id/rotate', role: 'admin', tenant: 'any', handler: rotateKey },
  { method: 'DELETE', url: '/api/keys/:id', role: 'admin', tenant: 'any', handler: revokeKey },
  { method: 'GET', url: '/api/limits', role: 'viewer', tenant: 'any', handler: listLimits },
  { method: 'POST', url: '/api/limits', role: 'admin', tenant: 'any', handler: putLimit },
  { method: 'DELETE', url: '/api/limits/:name', role: 'admin', tenant: 'any', handler: removeLimit },
  { method: 'GET', url: '/api/budgets', role: 'viewer', tenant: 'any', handler: listBudgets },
  { method: 'POST', url: '/api/budgets', role: 'admin', tenant: 'any', handler: putBudget },
  { method: 'DELETE', url: '/api/budgets/:name', role: 'admin', tenant: 'any', handler: removeBudget },
  { method: 'GET', url: '/api/tokens/revocations', role: 'admin', tenant: 'any', handler: listRevocations },
  { method: 'POST', url: '/api/tokens/revoke', role: 'admin', tenant: 'any', handler: revokeTokens },
  { method: 'GET', url: '/api/audit', role: 'admin', tenant: 'any', handler: listAudit },
  {
    method: 'POST',
    url: '/api/security/encrypt',
    role: 'member',
    tenant: 'own',
    isReading: true,
    handler: encryptData,
  },
  {
    method: 'POST',
    url: '/api/security/decrypt',
    role: 'member',
    tenant: 'own',
    isReading: true,
    handler: decryptData,
  },
  { method: 'GET', url: '/.well-known/jwks.json', role: null, tenant: 'none', handler: publishKeys },
  { method: 'GET', url: '/api/backups', role: 'admin', tenant: 'every', handler: listBackups },
  { method: 'POST', url: '/api/backups', role: 'admin', tenant: 'every', handler: createBackup },
  { method: 'GET', url: '/api/jobs', role: 'viewer', tenant: 'any', handler: listJobs },
  { method: 'POST', url: '/api/jobs', role: 'operator', tenant: 'any', handler: createJob },
  { method: 'GET', url: '/api/jobs/:name', role: 'viewer', tenant: 'any', handler: getJob },
  { method: 'DELETE', url: '/api/jobs/:name', role: 'operator', tenant: 'any', handler: removeJob },
  { method: 'GET', url: '/api/jobs/:name/runs', role: 'viewer', tenant: 'any', handler: listJobRuns },
  { method: 'POST', url: '/api/jobs/:name/run', role: 'operator', tenant: 'any', handler: runJob },
  { method: 'POST', url: '/api/jobs/:name/pause', role: 'operator', tenant: 'any', handler: pauseJob },
  { method: 'POST', url: '/api/jobs/:name/resume', role: 'operator', tenant: 'any', handler: resumeJob },
  { method: 'GET', url: '/api/job-runs', role: 'viewer', tenant: 'any', handler: listJobRuns },
  { method: 'GET', url: '/api/job-runs/:id', role: 'viewer', tenant: 'any', handler: getJobRun },
  { method: 'GET', url: '/healthz', role: null, tenant: 'none', handler: healthz },
  { method: 'GET', url: '/readyz', role: null, tenant: 'none', handler: readyz },
];

function calls(dialect: Dialect): Handler {
  return (context, request, reply) => answerCall(context, dialect, request, reply);
}
