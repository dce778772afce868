/** The operations of the store, each a script or a few. */

import { systemIds } from '../../runtime/ids.ts';
import type { Commit, CommitResult, Store } from '../../runtime/store.ts';
import { FreshPages, keepFresh } from '../fresh-pages.ts';
import { ChunkPacker } from '../packing.ts';
import { CLAIM, describeClaim, toClaimResult } from './claim.ts';
import { COMMIT, describeCommits, toCommitResults } from './commit.ts';
import { CONTROL, describeControl, toControlResult } from './end.ts';
import type { Gate } from './gate.ts';
import { describeSecret, gc, SECRET } from './gc.ts';
import { describeNote, GET_HOOK, listHooks, NOTE, toHook } from './hooks.ts';
import { DELIVER, describeDelivery, toDeliverResults } from './inbox.ts';
import { describeTotals, LEDGER_TOTALS, listLedger, toLedgerTotals } from './ledger.ts';
import { describeGet as describeParts, describePut, GET_PARTS, PUT_PARTS, toParts } from './parts.ts';
import { toPayload } from './payloads.ts';
import * as reads from './read.ts';
import { describeLimits, LIMITS, toLimitUses } from './lanes.ts';
import { compact, describeTrim, toTrimResult, TRIM } from './retention.ts';
import { toRun } from './runs.ts';
import { toRequest } from './script.ts';
import { describeStart, START, toStartResults } from './start.ts';
import { describeRead, READ, toStreamPage } from './streams.ts';

type Operations = Omit<Store, 'name' | 'capabilities' | 'watch' | 'close'>;

/** Items of one script: it stands in the way of others for as long as it takes. */
const AT_ONCE = 32;

export function prepareOperations(gate: Gate): Operations {
  const { ask, enter, saw } = gate;
  const packer = new ChunkPacker();
  const fresh = new FreshPages(gate.answers);
  const ids = systemIds();
  return {
    start: (runs, claim) =>
      inParts(enter, runs, async (part) => toStartResults(await ask(START, describeStart(part, claim)), part)),
    claim: async (request) => toClaimResult(await ask(CLAIM, describeClaim(request))),
    commit: (batch) => commitAll(gate, { batch, packer, fresh }),
    deliver: (messages, claim) =>
      inParts(enter, messages, async (part) => toDeliverResults(await ask(DELIVER, describeDelivery(part, claim)))),
    control: async (run, control) => toControlResult(await ask(CONTROL, describeControl(run, control))),
    load: async (run, from) => reads.toLoaded(await ask(reads.LOAD, reads.describeLoad(run, from))),
    async get(run) {
      const row = await ask(reads.GET, reads.describeGet(run));
      return row === null ? null : toRun(row);
    },
    list: (query) => reads.listRuns(ask, query),
    backlog: async (without) =>
      reads.toBacklog(
        await ask(
          reads.BACKLOG,
          toRequest(() => ({})),
        ),
        without,
      ),
    limits: async (keys) => (keys.length === 0 ? [] : toLimitUses(await ask(LIMITS, describeLimits(keys)))),
    thread: async (id, tenant = null) => reads.toThread(await ask(reads.THREAD, reads.describeThread(id, tenant))),
    async read(run, stream, { from, maxBytes }) {
      const at = { run, stream, from: Math.max(0, from), maxBytes };
      enter();
      const kept = fresh.find(at);
      if (kept !== undefined) return kept;
      const page = toStreamPage(await ask(READ, describeRead(at)), at);
      if (page !== null) saw(run, { stream, tail: page.tail });
      return page;
    },
    async hook(token) {
      const hook = await ask(
        GET_HOOK,
        toRequest(() => ({ token })),
      );
      return hook === null ? null : toHook(hook);
    },
    listHooks: (query) => listHooks(ask, query),
    note: async (token, note) => (await ask(NOTE, describeNote(token, { id: ids.nonce(), note }))) === 1,
    ledger: (query) => listLedger(ask, query),
    ledgerTotals: async (scopes) =>
      scopes.length === 0 ? [] : toLedgerTotals(await ask(LEDGER_TOTALS, describeTotals(scopes))),
    secret: async (proposed) => toPayload(await ask(SECRET, describeSecret(proposed))),
    gc: (limits) => gc(ask, limits),
    trim: async (request) => toTrimResult(await ask(TRIM, describeTrim(request))),
    putParts: async (id, parts) => void (parts.length > 0 && (await ask(PUT_PARTS, describePut(id, parts)))),
    getParts: async (id, hashes) =>
      hashes.length === 0 ? [] : toParts(await ask(GET_PARTS, describeParts(id, hashes))),
    compact: (run, stream) => compact(ask, { at: { run, stream }, packer }),
  };
}

/** Watchers are told after their pages are kept: their readers find there what was written. */
function commitAll(
  { enter, askQuietly, tell }: Gate,
  { batch, packer, fresh }: { batch: Commit[]; packer: ChunkPacker; fresh: FreshPages },
): Promise<CommitResult[]> {
  return inParts(enter, batch, async (part) => {
    const { answer, hints, version } = await askQuietly(COMMIT, describeCommits(part, packer));
    const results = toCommitResults(answer, part);
    keepFresh(fresh, { batch: part, results, hints, version });
    tell(hints);
    return results;
  });
}

/** Each item stands by itself, so that a large batch may go in several scripts; they are answered in order. */
async function inParts<T, R>(enter: () => void, items: T[], run: (part: T[]) => Promise<R[]>): Promise<R[]> {
  enter();
  const parts = [];
  for (let at = 0; at < items.length; at += AT_ONCE) parts.push(run(items.slice(at, at + AT_ONCE)));
  return (await Promise.all(parts)).flat();
}
