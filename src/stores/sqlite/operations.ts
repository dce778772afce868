/** The operations of the store, put together from the parts that prepare their statements. */

import type { Store } from '../../runtime/store.ts';
import { prepareClaims } from './claim.ts';
import { prepareCommit } from './commit.ts';
import { prepareEndings } from './end.ts';
import type { Gate } from './gate.ts';
import { prepareUpkeep } from './gc.ts';
import { prepareHooks } from './hooks.ts';
import { prepareDeliveries, prepareInbox } from './inbox.ts';
import { prepareLanes } from './lanes.ts';
import { prepareLedger } from './ledger.ts';
import { prepareParts } from './parts.ts';
import { prepareReads } from './read.ts';
import { prepareRetention } from './retention.ts';
import { prepareRuns } from './runs.ts';
import type { OpenFile } from './open-file.ts';
import { prepareStarts } from './start.ts';
import { prepareStreams } from './streams.ts';

type Operations = Omit<Store, 'name' | 'capabilities' | 'watch' | 'close'>;

export function prepareOperations(file: OpenFile, { join, read, write, writeAll, writeAside }: Gate): Operations {
  const lanes = prepareLanes(file);
  const runs = prepareRuns(file, lanes);
  const hooks = prepareHooks(file);
  const streams = prepareStreams(file);
  const ledger = prepareLedger(file);
  const inbox = prepareInbox(file, runs);
  const claims = prepareClaims(file, { runs, lanes });
  const endings = prepareEndings(file, { runs, inbox, hooks, lanes });
  const starts = prepareStarts(file, { runs, inbox, endings, claims });
  const commit = prepareCommit(file, { runs, hooks, streams, starts, endings, ledger, lanes });
  const deliver = prepareDeliveries(file, { runs, inbox, hooks, claims });
  const reads = prepareReads(file, runs);
  const parts = prepareParts(file);
  const upkeep = prepareUpkeep(file, parts);
  const retention = prepareRetention(file);
  return {
    async start(news, claim) {
      if (claim !== undefined) join();
      return writeAll(news.map((run) => () => starts.start(run, claim)));
    },
    async claim(request) {
      join();
      return (await read(() => claims.idle(request))) ?? write(() => claims.claim(request));
    },
    commit: (batch) => writeAll(batch.map((one) => () => commit(one))),
    async deliver(messages, claim) {
      if (claim !== undefined) join();
      return writeAll(messages.map((message) => () => deliver(message, claim)));
    },
    control: (id, command) => write(() => endings.control(id, command)),
    note: (tokenHash, note) => write(() => hooks.note(tokenHash, note)),
    secret: (proposed) => write(() => upkeep.secret(proposed)),
    async gc(limits) {
      const removed = await write(() => {
        lanes.forgetWindows();
        return upkeep.gc(limits);
      });
      // Other calls come between two passes.
      while (await write(() => parts.removeOrphans()));
      return removed;
    },
    trim: (request) => writeAside(() => retention.trim(request)),
    compact: (run, stream) => writeAside(() => retention.compact(run, stream)),
    putParts: (id, some) => write(() => parts.put(id, some)),
    getParts: (id, hashes) => read(() => parts.get(id, hashes)),
    load: (id, from) => read(() => reads.load(id, from)),
    get: (id) => read(() => runs.full(id)),
    list: (query) => read(() => reads.list(query)),
    limits: (keys) => read(() => lanes.uses(keys)),
    backlog: (without) => read(() => reads.backlog(without)),
    thread: (id, tenant = null) => read(() => reads.thread(id, tenant)),
    read: (id, stream, options) => read(() => streams.read(id, { ...options, stream })),
    hook: (tokenHash) => read(() => hooks.get(tokenHash)),
    listHooks: (query) => read(() => hooks.list(query)),
    ledger: (query) => read(() => ledger.list(query)),
    ledgerTotals: (scopes) => read(() => ledger.totals(scopes)),
  };
}
