import { expect, it } from 'vitest';
import { page } from './pages.ts';

/** "S5 to S9" and "S14, S15" as numbers. */
function numbersIn(text: string): number[] {
  const ranges = [...text.matchAll(/S(\d+) to S(\d+)/g)].map(([, from, to]) => [Number(from), Number(to)] as const);
  const inner = ranges.flatMap(([from, to]) => Array.from({ length: to - from + 1 }, (_, index) => from + index));
  return [...inner, ...[...text.matchAll(/S(\d+)/g)].map(([, number]) => Number(number))];
}

it('docs/write-a-store.md goes through the obligations of the contract, and no others', () => {
  const contract = [...page('src/runtime/store.ts').text.matchAll(/^ \*\s+S(\d+) /gm)].map(([, number]) =>
    Number(number),
  );
  const rows = [...page('docs/write-a-store.md').text.matchAll(/^\| (S[^|]*)\|/gm)].flatMap(([, cell = '']) =>
    numbersIn(cell),
  );
  expect(contract.length).toBeGreaterThan(30);
  expect([...new Set(rows)].toSorted((a, b) => a - b)).toEqual([...new Set(contract)].toSorted((a, b) => a - b));
});
