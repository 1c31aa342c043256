import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Role } from '../../core/principal.ts';
import { listAudit } from '../admin/audit.ts';
import { createBackup, listBackups } from '../admin/backups.ts';
import { listInstances } from '../admin/instances.ts';
import { getRequest, listRequests } from '../admin/requests.ts';
import { explainRoute } from '../admin/route.ts';
import { chatCompletions } from '../openai/chat-completions.ts';
import { getModel, listModels } from '../openai/models.ts';
import { aiProcess } from '../process/ai-process.ts';
import type { Dialect } from './call.ts';
import { answerCall } from './call.ts';
import type { EdgeContext } from './context.ts';
import { healthz, readyz } from './health.ts';

type Handler = (context: EdgeContext, request: FastifyRequest, reply: FastifyReply) => Promise<unknown>;

export interface Route {
  readonly method: 'GET' | 'POST';
  readonly url: string;
  /** The least role that may use it; `null` where nobody is asked who they are. */
  readonly role: Role | null;
  /** A POST of `/api` that changes nothing, and so is no administrative action. */
  readonly isReading?: boolean;
  readonly handler: Handler;
}

/** All routes. */
export const routes: readonly Route[] = [
  { method: 'POST', url: '/ai-process', role: 'member', handler: calls(aiProcess) },
  { method: 'POST', url: '/v1/chat/completions', role: 'member', handler: calls(chatCompletions) },
  { method: 'GET', url: '/v1/models', role: 'viewer', handler: listModels },
  { method: 'GET', url: '/v1/models/*', role: 'viewer', handler: getModel },
  { method: 'GET', url: '/api/requests', role: 'viewer', handler: listRequests },
  { method: 'GET', url: '/api/requests/:id', role: 'viewer', handler: getRequest },
  { method: 'GET', url: '/api/instances', role: 'viewer', handler: listInstances },
  { method: 'POST', url: '/api/route/explain', role: 'member', isReading: true, handler: explainRoute },
  { method: 'GET', url: '/api/audit', role: 'admin', handler: listAudit },
  { method: 'GET', url: '/api/backups', role: 'admin', handler: listBackups },
  { method: 'POST', url: '/api/backups', role: 'admin', handler: createBackup },
  { method: 'GET', url: '/healthz', role: null, handler: healthz },
  { method: 'GET', url: '/readyz', role: null, handler: readyz },
];

function calls(dialect: Dialect): Handler {
  return (context, request, reply) => answerCall(context, dialect, request, reply);
}
