/** How to see more than one page. */

import type { Layout } from './report.ts';

export function nextPage(cursor: string | null, { command, layout }: { command: string; layout: Layout }): string[] {
  if (cursor === null) return [];
  return ['', layout.paint('dim', `There are more: everturn ${command} --cursor ${cursor}, with the same filters.`)];
}
