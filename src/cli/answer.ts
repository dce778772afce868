/** `everturn answer <id> <json>` */

import type { Runtime } from '../app/create-runtime.ts';
import type { AnswerOptions } from '../app/questions.ts';
import type { Report } from './report.ts';
import { briefValue, printable } from './text.ts';

export async function answer(runtime: Runtime, id: string, options: AnswerOptions): Promise<Report> {
  const question = await runtime.questions.answer(id, options);
  const { prompt, run, workflow, answeredBy } = question;
  const said = `${answeredBy ?? options.by} answers ${JSON.stringify(prompt)} with ${briefValue(options.answer)}.`;
  return { json: question, lines: () => [printable(`${said} A worker of ${workflow} goes on with run ${run}.`)] };
}
