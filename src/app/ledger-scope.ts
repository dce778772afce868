/** What is summed, as callers say it. */

import { DurableError } from '../runtime/errors.ts';
import type { LedgerScope } from '../runtime/store.ts';

const PERIOD = /^\d{4}-(0[1-9]|1[0-2])(-(0[1-9]|[12]\d|3[01]))?$/;
/** The names of a scope's parts, in the order of the alphabet, and what each must be. */
const SCOPES: Record<string, Record<string, (value: unknown) => boolean>> = {
  run: { run: isText },
  'tenant,thread': { thread: isText, tenant: (value) => value === null || isText(value) },
  tenant: { tenant: isText },
  'period,tenant': { tenant: isText, period: (value) => isText(value) && PERIOD.test(value) },
};

/** Throws `invalid_argument`. */
export function checkScope(scope: LedgerScope): void {
  const given: Array<[string, unknown]> = Object.entries(scope ?? {}).filter(([, value]) => value !== undefined);
  const parts =
    SCOPES[
      given
        .map(([name]) => name)
        .toSorted()
        .join(',')
    ];
  if (parts !== undefined && given.every(([name, value]) => parts[name]?.(value) === true)) return;
  throw new DurableError(
    'invalid_argument',
    `Cannot sum the ledger of ${JSON.stringify(scope) ?? 'nothing'}. Write { run }, { thread, tenant } (tenant: null for none) or ` +
      '{ tenant, period }, the period a month ("2026-11") or a day ("2026-11-22") or left out.',
  );
}

function isText(value: unknown): value is string {
  return typeof value === 'string';
}
