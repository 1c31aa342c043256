import type { FastifyReply, FastifyRequest } from 'fastify';
import type { EdgeContext } from './context.ts';

/** `GET /healthz`: the process is alive. */
export async function healthz(): Promise<unknown> {
  return { status: 'ok' };
}

/** `GET /readyz`: whether traffic should come here. */
export async function readyz(context: EdgeContext, _request: FastifyRequest, reply: FastifyReply): Promise<unknown> {
  if (!context.isDraining()) {
    const { trouble, pending } = context.storeState();
    // Requests are answered without them too: that is a reason to look, not to send traffic elsewhere.
    const degraded = {
      ...(trouble === null ? {} : { database: 'unavailable', rows_pending: pending }),
      ...(context.redisTrouble() === null ? {} : { redis: 'unavailable' }),
      ...(context.flow.limiter.isByShare ? { limits: 'kept by share' } : {}),
      ...(context.limitsApart() ? { limits: 'counted by each process' } : {}),
    };
    return Object.keys(degraded).length === 0 ? { status: 'ready' } : { status: 'ready', degraded };
  }
  void reply.code(503);
  return { status: 'not ready', reason: 'shutting down' };
}
