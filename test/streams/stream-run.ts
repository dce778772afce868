/** A run on a bare store, held by the test, to write chunks as a holder does. */

import { encodeValue } from '../../src/runtime/codec.ts';
import type { Commit, CommitResult, Store, Then, Token } from '../../src/runtime/store.ts';
import { encodeChunk } from '../../src/runtime/chunk.ts';

export interface StreamRun {
  id: string;
  write(stream: string, values: unknown[]): Promise<CommitResult>;
  close(stream: string): Promise<CommitResult>;
  end(): Promise<CommitResult>;
}

export async function startStreamRun(store: Store, id: string): Promise<StreamRun> {
  const input = encodeValue(null, 'the input');
  const [started] = await store.start(
    [
      {
        id,
        workflow: 'w',
        version: '1',
        queue: 'w@1',
        thread: null,
        tenant: null,
        input,
        inputHash: 'h',
        attributes: {},
        parent: null,
        supersedes: null,
        limits: [],
      },
    ],
    { nonce: `nonce-${id}`, leaseMs: 600_000 },
  );
  if (started?.kind !== 'created' || started.token === null) throw new Error(`run ${id} was not created`);
  const token = started.token;
  let commits = 0;
  const commit = async (chunks: Commit['chunks'], next: Then = { kind: 'run' }): Promise<CommitResult> => {
    commits += 1;
    const [answer] = await store.commit([emptyCommit({ run: id, id: `${id}-${commits}`, token, chunks, next })]);
    if (answer === undefined) throw new Error('no answer');
    return answer;
  };
  return {
    id,
    write: (stream, values) => commit([{ stream, chunks: values.map(encodeChunk) }]),
    close: (stream) => commit([{ stream, chunks: [], close: true }]),
    end: () => commit([], { kind: 'end', status: 'completed', result: null, error: null, errorCode: null }),
  };
}

function emptyCommit(of: { run: string; id: string; token: Token; chunks: Commit['chunks']; next: Then }): Commit {
  const { next, ...rest } = of;
  return {
    ...rest,
    expect: 0,
    leaseMs: 600_000,
    events: [],
    hooks: { create: [], close: [] },
    starts: [],
    cancels: [],
    ledger: [],
    seen: 0,
    received: 0,
    then: next,
  };
}
