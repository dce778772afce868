/** `everturn inspect questions` */

import type { Runtime } from '../app/create-runtime.ts';
import type { Question, QuestionQuery } from '../app/questions.ts';
import { nextPage } from './next-page.ts';
import { relativeText } from './relative-time.ts';
import type { Layout, Report } from './report.ts';
import { statusCell } from './run-words.ts';
import { tableLines } from './table.ts';
import type { Column } from './table.ts';
import { briefValue, printable, shellWord, wrapped } from './text.ts';

const COLUMNS: readonly Column[] = [
  { title: 'QUESTION', isWhole: true },
  { title: 'STATUS', isWhole: true },
  { title: 'ASKED', isWhole: true },
  { title: 'RUN', isWhole: true },
];
const INDENT = '  ';

export async function inspectQuestions(runtime: Runtime, query: QuestionQuery): Promise<Report> {
  const { items, cursor } = await runtime.questions.list(query);
  const isPending = query.status === undefined || query.status === 'pending';
  const none = isPending ? 'No question waits for an answer.' : 'No questions.';
  return {
    json: { items, cursor },
    lines: (layout) =>
      items.length === 0 && cursor === null
        ? [none]
        : [...questionLines(items, layout), ...nextPage(cursor, { command: 'inspect questions', layout })],
  };
}

function questionLines(questions: readonly Question[], layout: Layout): string[] {
  const cells = questions.map((question) => [
    question.id,
    statusCell(question.status),
    relativeText(question.askedAt, layout.now),
    shellWord(question.run),
  ]);
  return tableLines(COLUMNS, cells, { ...layout, below: (row) => detailLines(questions[row], layout) });
}

function detailLines(question: Question | undefined, { width, paint, now }: Layout): string[] {
  if (question === undefined) return [];
  const { prompt, options, schema, workflow, thread, tenant, tool, expiresAt, status, answeredBy } = question;
  const whose = [
    workflow,
    ...(tool === null ? [] : [`tool ${tool}`]),
    ...(thread === null ? [] : [`thread ${thread}`]),
    ...(tenant === null ? [] : [`tenant ${tenant}`]),
  ];
  const facts = [
    ...(options?.map(({ value, label }) => `${JSON.stringify(value)}${label === value ? '' : `: ${label}`}`) ?? []),
    ...(options === null && schema !== null ? [`answer: ${briefValue(schema)}`] : []),
    whose.join(', '),
    ...(status === 'pending' && expiresAt !== null ? [`expires ${relativeText(expiresAt, now)}`] : []),
    ...(answeredBy === null ? [] : [`answered by ${answeredBy} ${relativeText(question.answeredAt ?? now, now)}`]),
  ];
  const room = width - INDENT.length;
  return [
    ...wrapped(printable(prompt), room),
    ...facts.flatMap((fact) => wrapped(printable(fact), room)).map((line) => paint('dim', line)),
  ].map((line) => INDENT + line);
}
