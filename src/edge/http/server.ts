import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { fastify } from 'fastify';
import { MizanError } from '../../core/errors.ts';
import { newRequestId } from '../../core/ids.ts';
import { didYouMean } from '../../core/nearest.ts';
import type { Principal, Role } from '../../core/principal.ts';
import type { TenantScope } from '../../core/request-record.ts';
import type { Access } from '../auth/authorise.ts';
import { authorise } from '../auth/authorise.ts';
import { headWithoutAttempt } from '../../flow/call.ts';
import type { AuditDetail } from '../admin/auditing.ts';
import type { EdgeContext } from './context.ts';
import { joseType } from '../process/encrypted.ts';
import { answerBrokenHttp, errorAnswer, knownError, notJson } from './errors.ts';
import { answerHeaders } from './respond.ts';
import { routes } from './routes.ts';

declare module 'fastify' {
  interface FastifyRequest {
    /** In ms since the Unix epoch. */
    receivedAt: number;
    /** On the monotonic clock, in ms. */
    startedAt: number;
    /** Set by the time a handler runs, on every route with a role. */
    principal: Principal;
    /** Whose data the request is about; set with the principal. */
    tenantScope: TenantScope;
    /** What a handler adds to its request's entry in the audit log. */
    audit: AuditDetail | null;
  }
  interface FastifyContextConfig {
    role?: Role | null;
    tenant?: Access['tenant'];
    takesJose?: boolean;
  }
}

/** The request line and the headers together, in bytes. */
const maxHeaderSize = 16 * 1024;

/** How long a whole request may take to arrive, and an idle connection may stay, in ms. */
const timeouts = { request: 120_000, keepAlive: 72_000, check: 1000 };

/** The door: every route behind its identity, every mistake answered in the one shape. It does not listen yet. */
export function createServer(context: EdgeContext): FastifyInstance {
  const { clock, log } = context.flow;
  const server = fastify({
    logger: false,
    bodyLimit: context.limits.body,
    genReqId: () => newRequestId(clock.now()),
    requestIdHeader: false,
    keepAliveTimeout: timeouts.keepAlive,
    requestTimeout: timeouts.request,
    return503OnClosing: false,
    http: {
      maxHeaderSize,
      headersTimeout: context.limits.headersTimeoutMs,
      connectionsCheckingInterval: timeouts.check,
    },
    clientErrorHandler: answerBrokenHttp,
    frameworkErrors: (error, request, reply) => sendError(error, request, reply),
    routerOptions: { maxParamLength: 300 },
  });

  server.decorateRequest('receivedAt', 0);
  server.decorateRequest('startedAt', 0);
  // Typed as always there: no handler of a route with a role runs before it is set.
  server.decorateRequest('principal', null as unknown as Principal);
  server.decorateRequest('tenantScope', '');
  server.decorateRequest('audit', null);

  server.removeAllContentTypeParsers();
  server.addContentTypeParser('application/json', { parseAs: 'buffer' }, (_request, body, done) => done(null, body));
  server.addContentTypeParser(joseType, { parseAs: 'buffer' }, (request, body, done) => {
    if (request.routeOptions.config.takesJose === true) done(null, body);
    else done(notJson());
  });

  // What is registered without saying who may use it would be anybody's.
  server.addHook('onRoute', ({ method, url, config }) => {
    if (config?.role === undefined || config.tenant === undefined) {
      throw new Error(`${String(method)} ${url} has no row in the table of routes`);
    }
  });

  server.addHook('onRequest', (request, reply, done) => {
    request.receivedAt = clock.now();
    request.startedAt = clock.monotonic();
    void reply.header('x-request-id', request.id);
    const { role, tenant } = request.routeOptions.config;
    // There is no row, and so no tenant, where there is no such route.
    if (role === null || role === undefined || tenant === undefined) {
      done();
      return;
    }
    const refuse = (error: unknown): void => sendError(error, request, reply);
    const enter = (principal: Principal): void => {
      request.principal = principal;
      try {
        request.tenantScope = authorise({ role, tenant }, principal, request.query);
      } catch (error) {
        refuse(error);
        return;
      }
      done();
    };
    try {
      if (context.isDraining()) throw draining();
      const found = context.authenticator.authenticate(request.headers.authorization, request.raw.socket);
      if (found instanceof Promise) found.then(enter, refuse);
      else enter(found);
    } catch (error) {
      refuse(error);
    }
  });

  // Answers of the flow are written past this; what is refused before it, and the list of models, are not.
  server.addHook('onSend', (request, reply, _payload, done) => {
    if (isOfModels(pathOf(request))) {
      const gatewayMs = request.startedAt === 0 ? 0 : clock.monotonic() - request.startedAt;
      void reply.headers(answerHeaders(request.id, headWithoutAttempt({ agent: null, model: null, gatewayMs })));
    }
    done();
  });

  for (const route of routes) {
    const { method, url, role, tenant, handler, takesJose = false } = route;
    server.route({
      method,
      url,
      config: { role, tenant, takesJose },
      ...context.auditing.hooksFor(route),
      handler: (request, reply) => handler(context, request, reply),
    });
  }

  server.setNotFoundHandler((request, reply) => {
    const path = pathOf(request);
    const methods = (['GET', 'HEAD', 'POST', 'DELETE'] as const).filter(
      (method) => server.findRoute({ method, url: path }) !== null,
    );
    if (methods.length > 0) void reply.header('allow', methods.join(', '));
    sendError(methods.length > 0 ? notAllowed(request, methods) : notFound(path), request, reply);
  });
  server.setErrorHandler((error, request, reply) => sendError(error, request, reply));
  return server;

  function sendError(error: unknown, request: FastifyRequest, reply: FastifyReply): void {
    const known = knownError(error);
    if (known === undefined) log.error({ event: 'request_crashed', requestId: request.id, err: error });
    const shown = known ?? new MizanError('internal', 'Something went wrong inside Mizan; its log has the cause.');
    if (shown.status === 401 || shown.status === 403) context.auditing.denied(request, shown);
    const { headers, body } = errorAnswer(shown, request.id);
    if (!request.raw.complete) takeTheRest(request, reply);
    void reply
      .code(shown.status)
      .headers({ 'x-request-id': request.id, ...headers })
      .send(body);
  }
}

/**
 * Reads what is still to come of a body that nobody wants, and throws it away: a caller whose connection is closed
 * while it sends doesn't come to read its answer (RFC 9112 §9.6). `timeouts.request` bounds it.
 */
function takeTheRest(request: FastifyRequest, reply: FastifyReply): void {
  void reply.removeHeader('connection');
  request.raw.resume();
}

function draining(): MizanError {
  return new MizanError('shutting_down', 'This process is ending; send the request again.', { retryAfterMs: 1000 });
}

/** Whether its answers say how they came about. */
function isOfModels(path: string): boolean {
  return path === '/ai-process' || path.startsWith('/v1/');
}

function pathOf(request: FastifyRequest): string {
  return request.url.split('?')[0] ?? '';
}

function notAllowed(request: FastifyRequest, methods: readonly string[]): MizanError {
  return new MizanError(
    'method_not_allowed',
    `${pathOf(request)} answers ${methods.join(', ')}, not ${request.method}.`,
  );
}

function notFound(path: string): MizanError {
  const known = routes.map((route) => route.url);
  return new MizanError('not_found', `There is no ${path.slice(0, 100)}.${didYouMean(path, known)}`);
}
