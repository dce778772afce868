/** Serves an app on a port of this machine. */

import type * as NodeServerModule from '@hono/node-server';
import type { Env, Hono } from 'hono';
import { DurableError } from '../runtime/errors.ts';
import { PEER } from './peer.ts';

export interface ServerOptions {
  /** 0: any free one. Default 3000. */
  port?: number;
  /** Default '127.0.0.1': this machine alone. */
  hostname?: string;
}

export interface RunningServer {
  /** For instance `http://127.0.0.1:3000`. */
  readonly url: string;
  readonly port: number;
  /** Takes no more connections and ends those that are open; runs go on. */
  close(): Promise<void>;
}

interface Incoming {
  httpVersion: string;
  socket: { remoteAddress?: string | undefined };
}

type NodeServer = typeof NodeServerModule;
type Listening = ReturnType<NodeServer['serve']>;

/**
 * Listens; resolves when it does. Rejects with `invalid_argument` if `@hono/node-server` is not installed, and as Node does
 * if the port is taken.
 */
export async function serve(
  app: Pick<Hono<Env>, 'fetch'>,
  { port = 3_000, hostname = '127.0.0.1' }: ServerOptions = {},
): Promise<RunningServer> {
  const node = await loadNodeServer();
  const options = {
    port,
    hostname,
    overrideGlobalObjects: false,
    fetch: async (request: Request, { incoming }: { incoming: Incoming }) => {
      const address = incoming.socket.remoteAddress;
      const response = await app.fetch(request, address === undefined ? {} : { [PEER]: address });
      return incoming.httpVersion === '1.1' ? begunAtOnce(response) : response;
    },
  };
  const server = await new Promise<Listening>((resolve, reject) => {
    const starting = node.serve(options, () => resolve(starting));
    starting.once('error', reject);
  });
  const address = server.address();
  const listening = typeof address === 'object' && address !== null ? address.port : port;
  return {
    url: `http://${hostname.includes(':') ? `[${hostname}]` : hostname}:${listening}`,
    port: listening,
    close: () => close(server),
  };
}

/**
 * A stream whose status and headers go out before its body is read: what fails then cuts it. Else the server below reads ahead, and
 * answers 500 with the text of the error.
 */
function begunAtOnce(response: Response): Response {
  if (response.body === null || response.headers.get('x-accel-buffering') !== 'no') return response;
  const begun = new Response(response.body, response);
  begun.headers.set('transfer-encoding', 'chunked');
  return begun;
}

function close(server: Listening): Promise<void> {
  return new Promise((resolve, reject) => {
    server.close((error) => (error === undefined ? resolve() : reject(error)));
    // Streams stay open while their threads are idle: nobody waits for them.
    if ('closeAllConnections' in server) server.closeAllConnections();
  });
}

async function loadNodeServer(): Promise<NodeServer> {
  try {
    return await import('@hono/node-server');
  } catch (error) {
    throw new DurableError(
      'invalid_argument',
      'Cannot serve: the package "@hono/node-server" is not installed. Run npm install @hono/node-server, or mount createApp in another host.',
      { cause: error },
    );
  }
}
