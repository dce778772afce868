/** The witness as a process: `node witness-process.ts <file>`. Prints its URL; keeps each record on the disk before it answers. */
import { closeSync, fsyncSync, openSync, readFileSync, writeSync } from 'node:fs';
import { createServer } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

const [, , file = ''] = process.argv;
const out = openSync(file, 'a');

const server = createServer((request, response) => {
  if (request.method === 'POST') void record(request, response);
  else response.end(readFileSync(file));
});
server.listen(0, '127.0.0.1', () => console.log(`http://127.0.0.1:${(server.address() as AddressInfo).port}`));

// Ends with the one who started it, also when that one was killed.
process.stdin.resume().once('end', () => {
  server.close();
  server.closeAllConnections();
  closeSync(out);
});

async function record(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const parts: Buffer[] = [];
  try {
    for await (const part of request) parts.push(part as Buffer);
  } catch {
    // The client was killed before its request was whole: nothing was asked of the witness.
    response.destroy();
    return;
  }
  const effect: unknown = JSON.parse(Buffer.concat(parts).toString('utf8'));
  writeSync(out, `${JSON.stringify(effect)}\n`);
  fsyncSync(out);
  response.writeHead(204).end();
}
