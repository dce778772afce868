/** Who is at the other end of the socket: known from `serve` alone, which puts it where no request can. */

export const PEER: unique symbol = Symbol('everturn.peer');

/** What a host passes along with a request. */
export interface PeerEnv {
  [PEER]?: string;
}

export function isLoopback(address: string): boolean {
  const plain = address.startsWith('::ffff:') ? address.slice('::ffff:'.length) : address;
  return plain === '::1' || /^127\.\d+\.\d+\.\d+$/.test(plain);
}
