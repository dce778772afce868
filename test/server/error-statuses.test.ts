import { ERROR_CODES } from 'everturn';
import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { STATUS } from '../../src/server/http-error.ts';

const protocol = readFileSync(new URL('../../docs/PROTOCOL.md', import.meta.url), 'utf8');

/** Rows such as "| 404 | `run_not_found`, `hook_not_found` (`details.at`) |". What stands in brackets is no code. */
function documented(): Array<[string, number]> {
  const rows = [...protocol.matchAll(/^\| ([45]\d\d) \| (.*) \|$/gm)];
  return rows.flatMap(([, status = '', codes = '']) =>
    [...codes.replaceAll(/\([^)]*\)/g, '').matchAll(/`([a-z_]+)`/g)].map(([, code = '']): [string, number] => [
      code,
      Number(status),
    ]),
  );
}

const byCode = (rows: Array<[string, number]>): Array<[string, number]> =>
  rows.toSorted(([a], [b]) => (a < b ? -1 : 1));

it('every error code has a status', () => {
  expect(Object.keys(STATUS).toSorted()).toEqual(ERROR_CODES.toSorted());
});

it('docs/PROTOCOL.md says the status of every error code, once', () => {
  expect(byCode(documented())).toEqual(byCode(Object.entries(STATUS)));
});
