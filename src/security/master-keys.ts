import { execFileSync } from 'node:child_process';
import { existsSync, linkSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { SetupError } from '../core/errors.ts';
import { Secret } from '../core/secret.ts';
import type { MasterKey } from './master-key.ts';
import { masterKeyOf } from './master-key.ts';
import { secretFile } from './secret-file.ts';

/** Where the master key is: the first of these that is given, else `master.key` in the data folder. */
export interface MasterKeySettings {
  readonly key: Secret<string> | null;
  /** A program and its arguments, which prints the key. Run once, without a shell. */
  readonly command: readonly string[] | null;
  readonly file: string | null;
  /** The one before, while data keys are still wrapped with it. */
  readonly previous: Secret<string> | null;
}

export const noMasterKeySettings: MasterKeySettings = { key: null, command: null, file: null, previous: null };

/** What the command may take, in ms, and print, in bytes. */
const commandLimits = { timeout: 30_000, maxBuffer: 4096 };

/** The master key and, while one is being replaced, its predecessor. */
export class MasterKeys {
  readonly #settings: MasterKeySettings;
  readonly #file: string;
  #current: MasterKey | null = null;

  constructor(settings: MasterKeySettings, dataFolder: string) {
    this.#settings = settings;
    this.#file = settings.file ?? join(dataFolder, 'master.key');
  }

  /**
   * @param mayMake Whether a file that isn't there is made. Only where nothing is wrapped yet: else it was lost, and
   * another key is of no use.
   * @throws SetupError where it can't be had.
   */
  current(mayMake: boolean): MasterKey {
    this.#current ??= this.#read(mayMake);
    return this.#current;
  }

  /** The master key of that id, if it is at hand. A file is read again: another process may have replaced it. */
  find(id: string): MasterKey | undefined {
    const known = [this.#current, this.#previous()].find((key) => key?.id === id);
    if (known !== undefined || !this.isFile) return known ?? undefined;
    if (!existsSync(this.#file)) return undefined;
    const now = this.#read(false);
    if (now.id !== id) return undefined;
    this.#current = now;
    return now;
  }

  /** Whether it is kept in a file, so that Mizan can replace it by itself. */
  get isFile(): boolean {
    return this.#settings.key === null && this.#settings.command === null;
  }

  /**
   * Makes a new one in the file; the one before stays beside it until `dropPrevious`. Killed at any point, both are
   * there.
   * @throws SetupError where the file can't be written.
   */
  replaceFile(): MasterKey {
    const folder = dirname(this.#file);
    const next = `${basename(this.#file)}.next`;
    try {
      rmSync(join(folder, next), { force: true });
      secretFile(folder, next);
      // One that is there still wraps data keys: its rotation was broken off, and has to be finished first.
      linkSync(this.#file, this.#previousFile);
      renameSync(join(folder, next), this.#file);
    } catch (cause) {
      throw new SetupError(`The master key ${this.#file} can't be replaced`, cause);
    }
    this.#current = this.#read(false);
    return this.#current;
  }

  /** Once nothing is wrapped with it any more. */
  dropPrevious(): void {
    if (this.isFile) rmSync(this.#previousFile, { force: true });
  }

  get #previousFile(): string {
    return `${this.#file}.previous`;
  }

  #previous(): MasterKey | null {
    const { previous } = this.#settings;
    if (previous !== null) return masterKeyOf(previous, 'The previous master key');
    if (!this.isFile || !existsSync(this.#previousFile)) return null;
    return masterKeyOf(new Secret(readFileSync(this.#previousFile, 'utf8')), this.#previousFile);
  }

  #read(mayMake: boolean): MasterKey {
    const { key, command } = this.#settings;
    if (key !== null) return masterKeyOf(key, 'The master key');
    if (command !== null) return masterKeyOf(printed(command), "What the master key's command prints");
    if (!mayMake && !existsSync(this.#file)) {
      throw new SetupError(`The master key ${this.#file} is gone, and there is data that was sealed under it.`);
    }
    return masterKeyOf(secretFile(dirname(this.#file), basename(this.#file)), this.#file);
  }
}

/** What it says on stderr is the operator's to see; what it prints is nobody's. */
function printed([program = '', ...args]: readonly string[]): Secret<string> {
  try {
    const stdout = execFileSync(program, args, { ...commandLimits, stdio: ['ignore', 'pipe', 'inherit'] });
    return new Secret(stdout.toString('latin1'));
  } catch (cause) {
    const { code, status, signal } = cause as { code?: string; status?: number | null; signal?: string | null };
    const reason = code ?? signal ?? `it ended with ${status}`;
    throw new SetupError(`The master key's command ${program} failed`, reason);
  }
}
