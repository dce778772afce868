/** The commands of the command line, and what each of them takes. */

import { Command, Option } from 'commander';
import type { ApprovalQuery, ApproveOptions } from '../app/approvals.ts';
import type { Runtime } from '../app/create-runtime.ts';
import { systemClock } from '../runtime/clock.ts';
import type { LedgerQuery, RunQuery, RunStatus } from '../runtime/store.ts';
import type { QuestionQuery } from '../app/questions.ts';
import { answer } from './answer.ts';
import { cancel, resume } from './control.ts';
import { approve, deny } from './decide.ts';
import { inspectApproval } from './inspect-approval.ts';
import { inspectApprovals } from './inspect-approvals.ts';
import { followEvents, inspectEvents } from './inspect-events.ts';
import { exportLedger, inspectLedger } from './inspect-ledger.ts';
import { inspectQuestions } from './inspect-questions.ts';
import { inspectRun } from './inspect-run.ts';
import { inspectRuns } from './inspect-runs.ts';
import { readAttribute, readCursor, readJson, readLimit, readSince, readStatuses } from './option-values.ts';
import type { Since } from './option-values.ts';
import { print } from './report.ts';
import type { Report, Terminal } from './report.ts';
import { migrate } from './migrate.ts';
import { openRuntime, parseStoreUrl, STORE_VARIABLE } from './store-url.ts';
import { usageError } from './usage.ts';

/** Runs a command over the store that the options name, and closes it. */
type Over = (command: (runtime: Runtime, options: { isJson: boolean }) => Promise<Report | undefined>) => Promise<void>;

interface Parts {
  terminal: Terminal;
  over: Over;
}

export function createProgram(terminal: Terminal, version: string): Command {
  const program = new Command('everturn')
    .description('Looks at durable runs in their store, and answers what waits for a person.')
    .version(version)
    .option(
      '--store <url>',
      `where the runs live: a path, sqlite:<path>, postgres://..., redis://... or upstash://... (default: $${STORE_VARIABLE})`,
    )
    .option('--json', 'one JSON document on stdout, for errors too')
    .exitOverride()
    .configureHelp({ showGlobalOptions: true })
    .configureOutput({ writeOut: terminal.out, writeErr: terminal.err, outputError: () => {} });
  const over: Over = async (command) => {
    const { store, json: isJson = false } = program.opts<{ store?: string; json?: boolean }>();
    const runtime = await openRuntime(parseStoreUrl(store ?? terminal.env[STORE_VARIABLE]));
    try {
      const report = await command(runtime, { isJson });
      if (report !== undefined) print(report, terminal, isJson);
    } finally {
      await runtime.close();
    }
  };
  const parts = { terminal, over };
  const inspect = program
    .command('inspect')
    .description('shows runs, events, approvals, questions and the ledger; changes nothing');
  addInspectRuns(inspect, parts);
  addInspectRun(inspect, parts);
  addInspectEvents(inspect, parts);
  addInspectApprovals(inspect, parts);
  addInspectQuestions(inspect, parts);
  addInspectLedger(inspect, parts);
  addDecisions(program, parts);
  addAnswer(program, parts);
  addControls(program, parts);
  addMigrate(program, parts);
  return program;
}

interface RunFilters {
  status?: RunStatus[];
  workflow?: string;
  thread?: string;
  tenant?: string | false;
  attribute?: Record<string, string>;
  error?: string;
  since?: Since;
  limit?: number;
  cursor?: string;
}

function addInspectRuns(inspect: Command, { over }: Parts): void {
  addPaging(inspect.command('runs'))
    .description('runs, newest first')
    .option('--status <names>', 'of these statuses, separated by commas', readStatuses)
    .option('--workflow <name>', 'of this workflow or agent')
    .option('--thread <id>', 'of this conversation')
    .option('--tenant <id>', 'of this tenant')
    .option('--no-tenant', 'of no tenant')
    .option('--attribute <name=value>', 'with this attribute; may be repeated', readAttribute)
    .option('--error <code>', 'that ended with this error code')
    .option('--since <when>', 'started since: "2h", "3 days", 2026-11-20', readSince)
    .action((filters: RunFilters) => over((runtime) => inspectRuns(runtime, toRunQuery(filters))));
}

function toRunQuery({ attribute, error, since, tenant, ...query }: RunFilters): RunQuery {
  const createdAfter = since?.date ?? (since?.ago === undefined ? undefined : systemClock().now() - since.ago);
  return {
    ...query,
    ...tenantOf(tenant),
    ...(attribute === undefined ? {} : { attributes: attribute }),
    ...(error === undefined ? {} : { errorCode: error }),
    ...(createdAfter === undefined ? {} : { createdAfter }),
  };
}

/** Commander sets true where there is a `--no-` form and neither is given. */
function tenantOf(tenant: string | boolean | undefined): { tenant?: string | null } {
  if (tenant === false) return { tenant: null };
  return typeof tenant === 'string' ? { tenant } : {};
}

function addInspectRun(inspect: Command, { over }: Parts): void {
  inspect
    .command('run')
    .description('one run: what it waits for, what it did, its approvals and children')
    .argument('<id>', 'the run')
    .option('--full', 'input, result and error as a whole')
    .action((id: string, { full = false }: { full?: boolean }) =>
      over((runtime) => inspectRun(runtime, id, { isFull: full })),
    );
}

function addInspectEvents(inspect: Command, { terminal, over }: Parts): void {
  inspect
    .command('events')
    .description('the journal of a run, one line for each event')
    .argument('<id>', 'the run')
    .option('--full', 'values as a whole')
    .option('--follow', 'go on until the run has ended; with --json one document per line')
    .action((id: string, { full: isFull = false, follow = false }: { full?: boolean; follow?: boolean }) =>
      over(async (runtime, { isJson }) => {
        if (!follow) return inspectEvents(runtime, id, { isFull });
        await followEvents(runtime, id, { isFull, isJson, terminal, clock: systemClock() });
        return undefined;
      }),
    );
}

interface ApprovalFilters extends Omit<ApprovalQuery, 'tenant'> {
  tenant?: string | boolean;
}

function addInspectApprovals(inspect: Command, { over }: Parts): void {
  addPaging(inspect.command('approvals'))
    .description('tool calls that wait for a person, newest first; with an id all that happened to one')
    .argument('[id]', 'the approval')
    .addOption(new Option('--status <name>', 'default: pending').choices(['pending', 'decided', 'all']))
    .option('--run <id>', 'of this run')
    .option('--thread <id>', 'of this conversation')
    .option('--tenant <id>', 'of this tenant')
    .option('--no-tenant', 'of no tenant')
    .option('--tool <name>', 'of this tool')
    .action((id: string | undefined, { tenant, ...filters }: ApprovalFilters) =>
      over((runtime) =>
        id === undefined
          ? inspectApprovals(runtime, { ...filters, ...tenantOf(tenant) })
          : inspectApproval(runtime, id),
      ),
    );
}

interface QuestionFilters extends Omit<QuestionQuery, 'tenant'> {
  tenant?: string | boolean;
}

function addInspectQuestions(inspect: Command, { over }: Parts): void {
  addPaging(inspect.command('questions'))
    .description('what workflows and tools ask people, newest first')
    .addOption(new Option('--status <name>', 'default: pending').choices(['pending', 'settled', 'all']))
    .option('--run <id>', 'of this run')
    .option('--thread <id>', 'of this conversation')
    .option('--tenant <id>', 'of this tenant')
    .option('--no-tenant', 'of no tenant')
    .action(({ tenant, ...filters }: QuestionFilters) =>
      over((runtime) => inspectQuestions(runtime, { ...filters, ...tenantOf(tenant) })),
    );
}

interface LedgerFilters extends Omit<LedgerQuery, 'tenant'> {
  tenant?: string | boolean;
  csv?: boolean;
  ndjson?: boolean;
}

function addInspectLedger(inspect: Command, { terminal, over }: Parts): void {
  addPaging(inspect.command('ledger'))
    .description('attempts at model turns and what they used, oldest first')
    .option('--run <id>', 'of this run')
    .option('--thread <id>', 'of this conversation')
    .option('--tenant <id>', 'of this tenant')
    .option('--no-tenant', 'of no tenant')
    .addOption(new Option('--csv', 'all rows as CSV, for bills').conflicts(['ndjson', 'limit']))
    .addOption(new Option('--ndjson', 'all rows as JSON, one a line').conflicts('limit'))
    .action(({ tenant, csv = false, ndjson = false, ...filters }: LedgerFilters) => {
      const query: LedgerQuery = { ...filters, ...tenantOf(tenant) };
      return over(async (runtime) => {
        if (!csv && !ndjson) return inspectLedger(runtime, query);
        await exportLedger(runtime, query, { terminal, as: csv ? 'csv' : 'ndjson' });
        return undefined;
      });
    });
}

function addAnswer(program: Command, { terminal, over }: Parts): void {
  program
    .command('answer')
    .description('answers a question; the first answer counts')
    .argument('<question>', 'the question')
    .argument('<json>', 'the answer: \'"red"\', 7, \'{"day":"2026-11-22"}\'', readJson)
    .option('--by <name>', 'who answers (default: your user name)')
    .action((id: string, { value }: { value: unknown }, { by }: { by?: string }) => {
      const options = { answer: value, by: personOf(by, terminal) };
      return over((runtime) => answer(runtime, id, options));
    });
}

function addPaging(command: Command): Command {
  return command
    .option('--limit <number>', 'at most so many (default: 50)', readLimit)
    .option('--cursor <cursor>', 'the page after', readCursor);
}

interface DecisionFlags {
  by?: string;
  reason?: string;
  input?: { value: unknown };
  result?: { value: unknown };
}

function addDecisions(program: Command, { terminal, over }: Parts): void {
  const whose = 'who decides (default: your user name)';
  program
    .command('approve')
    .description('lets a tool call run; the first decision counts')
    .argument('<id>', 'the approval')
    .option('--input <json>', "run it with this input in place of the model's; the model is told", readJson)
    .option('--result <json>', 'of a call in doubt: it took effect, and this came of it', readJson)
    .option('--by <name>', whose)
    .option('--reason <text>', 'kept with the decision')
    .action((id: string, { by, input, result, ...flags }: DecisionFlags) => {
      const options: ApproveOptions & { by: string } = {
        ...flags,
        by: personOf(by, terminal),
        ...(input === undefined ? {} : { input: input.value }),
        ...(result === undefined ? {} : { result: result.value }),
      };
      return over((runtime) => approve(runtime, id, options));
    });
  program
    .command('deny')
    .description('refuses a tool call; the model is told why')
    .argument('<id>', 'the approval')
    .requiredOption('--reason <text>', 'what the model is told')
    .option('--by <name>', whose)
    .action((id: string, { by, reason }: { by?: string; reason: string }) => {
      const options = { by: personOf(by, terminal), reason };
      return over((runtime) => deny(runtime, id, options));
    });
}

function personOf(by: string | undefined, terminal: Terminal): string {
  const person = by ?? terminal.user() ?? '';
  if (person === '') throw usageError('nobody is named: pass --by <name>, since the system does not say who you are.');
  return person;
}

function addControls(program: Command, { over }: Parts): void {
  program
    .command('cancel')
    .description('asks a run to stop')
    .argument('<run>', 'the run')
    .action((id: string) => over((runtime) => cancel(runtime, id)));
  program
    .command('resume')
    .description('lets a parked run go on, after what parked it is mended')
    .argument('<run>', 'the run')
    .action((id: string) => over((runtime) => resume(runtime, id)));
}

function addMigrate(program: Command, { terminal }: Parts): void {
  program
    .command('migrate')
    .description('brings a Postgres schema up to this release; makes it where there is none')
    .argument('[url]', 'default: that of --store')
    .action(async (url: string | undefined) => {
      const { store, json = false } = program.opts<{ store?: string; json?: boolean }>();
      print(await migrate(url ?? store ?? terminal.env[STORE_VARIABLE]), terminal, json);
    });
}
