import type { FastifyReply, FastifyRequest } from 'fastify';
import type { EdgeContext } from './context.ts';

/** `GET /healthz`: the process is alive. */
export async function healthz(): Promise<unknown> {
  return { status: 'ok' };
}

/** `GET /readyz`: whether traffic should come here. */
export async function readyz(context: EdgeContext, _request: FastifyRequest, reply: FastifyReply): Promise<unknown> {
  if (!context.isDraining()) return { status: 'ready' };
  void reply.code(503);
  return { status: 'not ready', reason: 'shutting down' };
}
