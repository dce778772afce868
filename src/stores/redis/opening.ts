/** What is looked at before the first call: the format of the namespace, and whether the server may drop keys or forget them. */

import { DurableError } from '../../runtime/errors.ts';
import type { Capabilities } from '../../runtime/store.ts';
import type { Connection } from './connection.ts';
import { isAnswer } from './failure.ts';
import { toText } from './payloads.ts';
import { FORMAT } from './prelude.ts';
import { toRequest, toScript } from './script.ts';
import type { Reply, Request, Script } from './script.ts';

/** Publishes, so that a user who may not is refused before anything changes (R1). */
const OPEN_SOURCE = `
call('PUBLISH', P .. 'bell', env.me .. '[]')
local format = call('HGET', P .. 'meta', 'format')
if not format then
  call('HSET', P .. 'meta', 'format', req.format)
  format = req.format
end
return finish(tonumber(format))
`;

export const OPEN: Script = toScript('open', [OPEN_SOURCE]);

export function describeOpen(): Request {
  return toRequest(() => ({ format: FORMAT }));
}

export function checkFormat(reply: Reply, namespace: string): void {
  const format = Number(reply);
  if (format <= FORMAT) return;
  throw new DurableError(
    'store_newer',
    `Cannot open the namespace "${namespace}" in Redis: its format is number ${format} and this release knows up to ${FORMAT}. ` +
      'Run the release that wrote it, or a newer one.',
    { details: { namespace, found: format, known: FORMAT } },
  );
}

/** What the server says of itself; undefined where it does not let us ask. */
export interface ServerSettings {
  eviction: string | undefined;
  durability: Capabilities['durability'];
}

export async function readSettings(connection: Connection): Promise<ServerSettings> {
  const setting = async (name: string): Promise<string | undefined> => {
    try {
      const [, value] = (await connection.command('CONFIG', 'GET', name)) as Reply[];
      return value === undefined || value === null ? undefined : toText(value);
    } catch (error) {
      // Services that run Redis for others often refuse CONFIG; then INFO says some of it.
      if (isAnswer(error)) return undefined;
      throw error;
    }
  };
  const eviction = (await setting('maxmemory-policy')) ?? (await evictionOfInfo(connection));
  const append = await setting('appendonly');
  const save = await setting('save');
  if (append === 'no' && save === '') return { eviction, durability: 'none' };
  const isSynced = append === 'yes' && (await setting('appendfsync')) === 'always';
  return { eviction, durability: isSynced ? 'fsync' : 'async' };
}

async function evictionOfInfo(connection: Connection): Promise<string | undefined> {
  try {
    return /^maxmemory_policy:(.*)$/m.exec(toText(await connection.command('INFO', 'memory')))?.[1]?.trim();
  } catch (error) {
    if (isAnswer(error)) return undefined;
    throw error;
  }
}

export function checkEviction(policy: string | undefined, where: string): void {
  if (policy === undefined || policy === 'noeviction') return;
  throw new DurableError(
    'invalid_argument',
    `Cannot keep runs in the Redis at "${where}": its maxmemory-policy is "${policy}", so it may drop keys when its memory is full. ` +
      'Set maxmemory-policy to "noeviction"; on a managed service switch eviction off.',
    { details: { where, policy } },
  );
}
