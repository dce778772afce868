/** A TCP proxy before a server, with the ways in which a network fails. */

import { connect, createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';

export interface TcpProxy {
  readonly port: number;
  /** So long each piece of data takes, each way. */
  delayMs: number;
  /**
   * What of all connections, new ones too, gets lost. As with TCP, nothing comes after what got lost: a connection that lost something
   * carries nothing more that way, whatever is set later, and neither end is told.
   */
  loses: { toServer: boolean; toClient: boolean };
  /** Asked for each piece of the server's: true swallows it and cuts the connection at both ends. */
  cutsAnswer: (answer: Buffer) => boolean;
  /** Connections that were cut so. */
  readonly cuts: number;
  /** From now on the connections that there are carry nothing, either way, and neither end is told. New ones do. */
  deaden(): void;
  close(): Promise<void>;
}

interface Link {
  client: Socket;
  server: Socket;
  /** Ways on which something got lost. */
  dead: { toServer: boolean; toClient: boolean };
}

type Way = keyof Link['dead'];

export async function startTcpProxy(target: number): Promise<TcpProxy> {
  const links = new Set<Link>();
  let cuts = 0;
  const cut = (link: Link): void => {
    cuts += 1;
    link.client.resetAndDestroy();
    link.server.resetAndDestroy();
  };
  const carry = (link: Link, way: Way): void => {
    const [from, to] = way === 'toServer' ? [link.client, link.server] : [link.server, link.client];
    const waiting: Array<() => void> = [];
    const pass = (deliver: () => void): void => {
      waiting.push(deliver);
      if (proxy.delayMs === 0 && waiting.length === 1) waiting.shift()?.();
      else setTimeout(() => waiting.shift()?.(), proxy.delayMs);
    };
    from.on('data', (data: Buffer) => {
      if (proxy.loses[way]) link.dead[way] = true;
      if (link.dead[way]) return;
      if (way === 'toClient' && proxy.cutsAnswer(data)) cut(link);
      else pass(() => to.write(data));
    });
    from.on('error', () => from.destroy());
    from.on('close', () => {
      if (!link.dead[way] && !proxy.loses[way]) pass(() => to.end());
      if (link.client.destroyed && link.server.destroyed) links.delete(link);
    });
  };
  const listener = createServer((client) => {
    const link = { client, server: connect(target, '127.0.0.1'), dead: { toServer: false, toClient: false } };
    for (const end of [link.client, link.server]) end.setNoDelay(true);
    links.add(link);
    carry(link, 'toServer');
    carry(link, 'toClient');
  });
  await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve));
  const proxy: TcpProxy = {
    port: (listener.address() as AddressInfo).port,
    delayMs: 0,
    loses: { toServer: false, toClient: false },
    cutsAnswer: () => false,
    get cuts() {
      return cuts;
    },
    deaden() {
      for (const { dead } of links) Object.assign(dead, { toServer: true, toClient: true });
    },
    async close() {
      for (const { client, server } of links) {
        client.destroy();
        server.destroy();
      }
      await new Promise((resolve) => listener.close(resolve));
    },
  };
  return proxy;
}
