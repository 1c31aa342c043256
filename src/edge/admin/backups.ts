import type { FastifyReply, FastifyRequest } from 'fastify';
import type { BackupListing, BackupRun, NewBackup } from '../../core/backups.ts';
import { MizanError } from '../../core/errors.ts';
import type { EdgeContext } from '../http/context.ts';

/** `GET /api/backups`: what there is, newest first, and how the one is doing that runs or ran last. */
export async function listBackups({ backups }: EdgeContext): Promise<unknown> {
  const listed = await backups.list();
  return {
    backups: listed.backups.map(shownListing),
    problems: listed.problems,
    run: shownRun(backups.lastRun),
  };
}

/** `POST /api/backups`: begins one and answers 202 at once; `GET /api/backups` says how it does. */
export async function createBackup(
  { backups }: EdgeContext,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<unknown> {
  request.audit = { action: 'backup.create' };
  if (backups.lastRun?.state === 'running') throw new MizanError('backup_running', 'A backup is being made already.');
  // How it ends is in `lastRun` and in the log.
  backups.create().catch(() => undefined);
  void reply.code(202);
  return { run: shownRun(backups.lastRun) };
}

function shownListing({ name, target, createdAt, bytes }: BackupListing) {
  return { name, target, created_at: new Date(createdAt).toISOString(), bytes };
}

function shownRun(run: BackupRun | null) {
  if (run === null) return null;
  return {
    state: run.state,
    started_at: new Date(run.startedAt).toISOString(),
    ended_at: run.endedAt === null ? null : new Date(run.endedAt).toISOString(),
    step: run.step,
    share: run.share === null ? null : Math.round(run.share * 1000) / 1000,
    backup: run.backup === null ? null : shownBackup(run.backup),
    error: run.error,
  };
}

function shownBackup({ name, bytes, places, rows, removed }: NewBackup) {
  return { name, bytes, places, rows, removed };
}
