/** A request over REST has at most 1 MB. Arguments that do not fit are written beforehand, in pieces, and the script finds them. */

import { systemIds } from '../../runtime/ids.ts';
import type { ScriptCall } from './connection.ts';
import { toMarkedBase64, toMarkedText } from './payloads.ts';
import type { UpstashClient } from './rest-connection.ts';

/** Less than Upstash's limit of 1 MB, which holds for the request as it is sent. */
export const MAX_REQUEST_BYTES = 900_000;
/** Of JSON and of names, per call. */
const CALL_BYTES = 300;
const PIECE_BYTES = 800_000;
/** Longer than a call and its repetitions take. */
const STAGED_MS = 600_000;

const encoder = new TextEncoder();

/** What arguments take in a request. */
export function sizeOf(args: string[]): number {
  return args.reduce((sum, arg) => sum + encoder.encode(JSON.stringify(arg)).length, CALL_BYTES);
}

/** The arguments of a call, the largest replaced by nothing where all would not fit. */
export async function staged(client: UpstashClient, { texts, payloads, key }: ScriptCall): Promise<string[]> {
  const args = payloads.map(toMarkedText);
  let size = sizeOf([...texts, ...args]);
  if (size <= MAX_REQUEST_BYTES) return [...texts, ...args];
  const names: Record<string, string> = {};
  const largestFirst = payloads.map((_, index) => index).toSorted((a, b) => sizeAt(args, b) - sizeAt(args, a));
  for (const index of largestFirst) {
    if (size <= MAX_REQUEST_BYTES) break;
    const name = systemIds().nonce();
    await stage(client, {
      key: key.replace(/meta$/, `x:${name}`),
      text: toMarkedBase64(payloads[index] ?? new Uint8Array()),
    });
    names[String(texts.length + index + 1)] = name;
    size -= sizeAt(args, index);
    args[index] = '';
  }
  const [environment, request] = texts;
  return [JSON.stringify({ ...(JSON.parse(environment) as object), staged: names }), request, ...args];
}

function sizeAt(args: string[], index: number): number {
  return args[index]?.length ?? 0;
}

/** Text of one byte a character, so that a place in it is a place in what the server keeps. Writing a piece twice changes nothing. */
async function stage(client: UpstashClient, { key, text }: { key: string; text: string }): Promise<void> {
  for (let offset = 0; offset < text.length; offset += PIECE_BYTES) {
    const pipeline = client.pipeline();
    pipeline.setrange(key, offset, text.slice(offset, offset + PIECE_BYTES));
    pipeline.pexpire(key, STAGED_MS);
    const answers = await pipeline.exec({ keepErrors: true });
    const failed = answers.find(({ error }) => error !== undefined);
    if (failed !== undefined) throw new Error(failed.error);
  }
}
