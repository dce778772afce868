/** A TCP proxy whose connections can be broken for real. */

import { connect, createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';

export interface Proxy {
  readonly url: string;
  /** Where new connections go; undefined: nobody listens there. */
  target: string | undefined;
  /** Bytes of the server's after which a new connection is reset. */
  cutAfter: (() => number) | undefined;
  /** Milliseconds by which what the server sends is late, asked for each piece; pieces stay in order. */
  delay: (() => number) | undefined;
  /** Connections that were made. */
  made(): number;
  /** Paths of the requests that are open, most recent last. */
  openPaths(): string[];
  /** Resets all. */
  cut(): void;
  /** The server is heard no more, and no connection ends. */
  freeze(isFrozen: boolean): void;
  close(): Promise<void>;
}

export async function openProxy(target: string): Promise<Proxy> {
  const pairs = new Map<Socket, { server: Socket; path: string }>();
  let made = 0;
  const state: Pick<Proxy, 'target' | 'cutAfter' | 'delay'> = { target, cutAfter: undefined, delay: undefined };
  const listener = createServer((client) => {
    made += 1;
    client.on('error', () => client.destroy());
    if (state.target === undefined) {
      client.resetAndDestroy();
      return;
    }
    const { hostname, port } = new URL(state.target);
    const server = connect(Number(port), hostname);
    const pair = { server, path: '' };
    pairs.set(client, pair);
    let left = state.cutAfter?.() ?? Infinity;
    client.on('data', (bytes) => {
      const request = /^(?:GET|POST) (\S+) HTTP/.exec(bytes.toString('latin1'));
      if (request?.[1] !== undefined) pair.path = request[1];
      server.write(bytes);
    });
    const pass = (bytes: Buffer): void => {
      if (client.destroyed) return;
      client.write(bytes.subarray(0, left));
      left -= bytes.length;
      if (left <= 0) client.resetAndDestroy();
    };
    let passed = Promise.resolve();
    server.on('data', (bytes) => {
      const { delay } = state;
      if (delay === undefined) pass(bytes);
      else passed = passed.then(() => wait(delay())).then(() => pass(bytes));
    });
    client.on('close', () => {
      pairs.delete(client);
      server.destroy();
    });
    server.on('close', () => void passed.then(() => client.destroy()));
    server.on('error', () => client.destroy());
  });
  await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve));
  return Object.assign(state, {
    url: `http://127.0.0.1:${(listener.address() as AddressInfo).port}`,
    made: () => made,
    openPaths: () => [...pairs.values()].map(({ path }) => path),
    cut(): void {
      for (const client of pairs.keys()) client.resetAndDestroy();
    },
    freeze(isFrozen: boolean): void {
      for (const { server } of pairs.values()) {
        if (isFrozen) server.pause();
        else server.resume();
      }
    },
    async close(): Promise<void> {
      for (const client of pairs.keys()) client.destroy();
      await new Promise((resolve) => listener.close(resolve));
    },
  });
}

function wait(ms: number): Promise<void> {
  return new Promise((resolve) => void setTimeout(resolve, ms));
}
