/** Why a run cannot go on, once there is a reason: its next commit parks it. */

import { encodeValue } from './codec.ts';
import type { Difference } from './divergence.ts';
import { messageOfThrown } from './error-text.ts';
import { DurableError } from './errors.ts';
import { isUnreadable } from './handback.ts';
import type { Guard } from './run-context.ts';
import type { RunCore } from './run-core.ts';
import type { Then } from './store.ts';

export interface ParkingOptions {
  core: RunCore;
  /** Asks for the commit that parks the run. */
  request: () => void;
  /** Not even that works: the run is given up, and goes on when its lease has run out. */
  giveUp: (why: string) => void;
}

export class Parking {
  /** Those who take care of divergence under a prefix. */
  readonly guards: Guard[] = [];
  readonly #options: ParkingOptions;
  #reason: { code: string; details: Record<string, unknown> } | undefined;

  constructor(options: ParkingOptions) {
    this.#options = options;
  }

  get isDecided(): boolean {
    return this.#reason !== undefined;
  }

  /** How the next commit ends, if the run is to be parked. */
  get then(): Then | undefined {
    if (this.#reason === undefined) return undefined;
    const { code, details } = this.#reason;
    return { kind: 'park', code, details: encodeValue(details, 'the reason of parking') };
  }

  /** The first reason counts. */
  park(code: string, details: Record<string, unknown>): void {
    const { core, request } = this.#options;
    this.#reason ??= { code, details };
    core.active = false;
    core.logger.error({ ...details, code }, 'the run is parked; resume it after a fix');
    request();
  }

  /** Something failed that no code of the run can catch. */
  broken(error: unknown): void {
    const { core, giveUp } = this.#options;
    if (isUnreadable(error)) {
      core.misled = true;
      // Told once more, by code that met it: the commit that parks the run reads nothing.
      if (this.#reason !== undefined) return;
    }
    const code = DurableError.is(error) ? error.code : 'internal_error';
    const message = messageOfThrown(error);
    if (this.#reason === undefined) {
      core.logger.error({ code, err: error }, 'the run cannot go on');
      this.park(code, { message });
      return;
    }
    core.logger.error({ code, err: error }, 'the run cannot be parked; its lease runs out');
    giveUp(`The run "${core.run.id}" could not go on in this process: ${message}`);
  }

  diverged(difference: Difference): void {
    const details = { ...difference };
    const { id } = this.#options.core.run;
    const error = new DurableError(
      'divergence',
      `The code of run "${id}" no longer matches its journal at "${details.key}": recorded is ${details.recorded}, asked for is ` +
        `${details.asked} (${details.why}). Bring the old code back or give the changed workflow a new version, then call runtime.resume("${id}").`,
      { details },
    );
    const guard = this.guards.findLast(({ prefix }) => details.key.startsWith(prefix));
    if (guard !== undefined) guard.diverged(error);
    else this.park('divergence', details);
  }
}
