import type { Config } from '../config/config.ts';
import { systemClock } from '../core/clock.ts';
import { BackupService } from '../store/backup/index.ts';
import { backupSettings } from '../store/backup/settings.ts';
import type { Log } from '../telemetry/log.ts';

/**
 * The backups of a data folder, as the configuration wants them.
 * @param program Its version.
 */
export function backupsOf(
  config: Config,
  dataFolder: string,
  { log, program }: { readonly log: Log; readonly program: string },
): BackupService {
  const { masterKey } = config.security;
  const settings = backupSettings(config, { dataFolder, masterKey, program });
  return new BackupService(settings, systemClock, {
    done: (backup) => log.info({ event: 'backup_done', backup: backup.name, bytes: backup.bytes, rows: backup.rows }),
    failed: (err) => log.error({ event: 'backup_failed', err }),
  });
}
