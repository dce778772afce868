/** What is summed, as callers say it. */

import { DurableError } from '../runtime/errors.ts';
import type { LedgerScope } from '../runtime/store.ts';

const PERIOD = /^\d{4}-(0[1-9]|1[0-2])(-(0[1-9]|[12]\d|3[01]))?$/;

/** Throws `invalid_argument`. */
export function checkScope(scope: LedgerScope): void {
  const given = (typeof scope === 'object' && scope !== null ? scope : {}) as Record<string, unknown>;
  const { run, thread, tenant, period } = given;
  const isOne =
    (typeof run === 'string' && thread === undefined && tenant === undefined) ||
    (run === undefined && typeof thread === 'string' && (tenant === null || typeof tenant === 'string')) ||
    (run === undefined && thread === undefined && typeof tenant === 'string');
  const isPeriod = period === undefined || (typeof period === 'string' && PERIOD.test(period) && thread === undefined);
  if (isOne && isPeriod && !(period !== undefined && run !== undefined)) return;
  throw new DurableError(
    'invalid_argument',
    `Cannot sum the ledger of ${JSON.stringify(scope) ?? 'nothing'}. Write { run }, { thread, tenant } (tenant: null for none) or ` +
      '{ tenant, period }, the period a month ("2026-11") or a day ("2026-11-22") or left out.',
  );
}
