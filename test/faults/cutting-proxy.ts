/** An HTTP proxy that gives each response so much time and no more: one is reset, the next one ends as if it were complete. */

import { createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface CuttingProxy {
  url: string;
  /** Paths of the responses that were cut. */
  cuts: string[];
  close(): Promise<void>;
}

export async function openCuttingProxy(target: string, { afterMs }: { afterMs: number }): Promise<CuttingProxy> {
  const cuts: string[] = [];
  const server = createServer((incoming, outgoing) => {
    const { method, url = '/', headers } = incoming;
    const forwarded = { ...headers, 'x-forwarded-for': incoming.socket.remoteAddress };
    const asking = request(`${target}${url}`, { method, headers: forwarded }, (answer) => {
      outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(outgoing);
      answer.once('error', () => outgoing.destroy());
      const timer = setTimeout(() => {
        cuts.push(url);
        answer.unpipe(outgoing);
        asking.destroy();
        if (cuts.length % 2 === 0) outgoing.end();
        else outgoing.socket?.resetAndDestroy();
      }, afterMs);
      outgoing.once('close', () => {
        clearTimeout(timer);
        asking.destroy();
      });
    });
    asking.once('error', () => {
      if (outgoing.headersSent) outgoing.destroy();
      else outgoing.writeHead(502).end();
    });
    incoming.pipe(asking);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    cuts,
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
