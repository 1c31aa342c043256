import type { FastifyRequest, onRequestHookHandler, onSendHookHandler, preHandlerHookHandler } from 'fastify';
import type { AuditEvent, AuditLog } from '../../core/audit.ts';
import type { Clock } from '../../core/clock.ts';
import type { MizanError } from '../../core/errors.ts';
import type { Principal } from '../../core/principal.ts';
import { Denials } from './denials.ts';

/** What a handler adds to the entry that its request leaves in the audit log. No secrets. */
export interface AuditDetail {
  /** A noun and a verb: `key.create`. The route's method and path where it isn't given. */
  readonly action?: string;
  /** Whose data it was about; the principal's tenant's where it isn't given. */
  readonly tenant?: string;
  readonly target?: string;
  readonly before?: unknown;
  readonly after?: unknown;
}

/** A route, as far as it matters here. */
interface AuditedRoute {
  readonly method: string;
  readonly url: string;
  readonly isReading?: boolean;
}

/** What makes a route leave its entries. */
export interface AuditingHooks {
  onRequest?: onRequestHookHandler;
  preHandler?: preHandlerHookHandler;
  onSend?: onSendHookHandler;
}

/** Leaves every administrative action and every denial in the audit log, whatever the route. */
export class Auditing {
  readonly #log: AuditLog;
  readonly #denials: Denials;
  /** Requests whose handler has begun, and those that have their entry. */
  readonly #begun = new WeakSet<FastifyRequest>();
  readonly #recorded = new WeakSet<FastifyRequest>();

  constructor(log: AuditLog, clock: Clock) {
    this.#log = log;
    this.#denials = new Denials(log, clock);
  }

  /**
   * For a route's options; nothing where nothing it does is an administrative action. An entry is made once what came of
   * it is known, whether or not there still is a caller to be told.
   */
  hooksFor(route: AuditedRoute): AuditingHooks {
    if (!route.url.startsWith('/api/') || route.method === 'GET' || route.isReading === true) return {};
    return {
      onRequest: (request, { raw }, done) => {
        // Node remembers it from now on: the caller may be gone when the answer is.
        void request.ip;
        const leave = (): void => {
          if (!this.#begun.has(request)) this.#did(request, false);
        };
        raw.once('close', leave);
        // Whoever is gone by now has nothing done any more.
        if (raw.destroyed) leave();
        else done();
      },
      preHandler: (request, _reply, done) => {
        if (this.#recorded.has(request)) return;
        this.#begun.add(request);
        done();
      },
      onSend: (request, { statusCode: status }, _payload, done) => {
        if (status !== 401 && status !== 403) this.#did(request, status < 400);
        done();
      },
    };
  }

  /** A request was refused for who asks, or for the lack of it. */
  denied(request: FastifyRequest, { code }: MizanError): void {
    const actor = actorOf(request.principal);
    this.#denials.record({
      action: 'request.denied',
      outcome: 'denied',
      actor,
      tenant: actor?.tenant ?? 'system',
      target: routeOf(request),
      before: null,
      after: { code },
      from: request.ip ?? null,
      requestId: request.id,
    });
  }

  /** Records what is only counted yet. */
  close(): void {
    this.#denials.flush();
  }

  #did(request: FastifyRequest, isDone: boolean): void {
    if (this.#recorded.has(request)) return;
    this.#recorded.add(request);
    const { audit: detail, id, ip } = request;
    const actor = actorOf(request.principal);
    this.#log.record({
      action: detail?.action ?? routeOf(request),
      outcome: isDone ? 'done' : 'failed',
      actor,
      tenant: detail?.tenant ?? actor?.tenant ?? 'system',
      target: detail?.target ?? null,
      before: detail?.before ?? null,
      after: detail?.after ?? null,
      from: ip ?? null,
      requestId: id,
    });
  }
}

/** The route as it was dispatched, never what stands in a URL. */
function routeOf({ routeOptions: { method, url } }: FastifyRequest): string {
  return `${Array.isArray(method) ? method.join(',') : method} ${url ?? ''}`;
}

function actorOf(principal: Principal | null): Exclude<AuditEvent['actor'], string> {
  if (principal === null) return null;
  const { subject, tenant, via } = principal;
  return { subject, tenant, via };
}
