/** Postgres, in one process, between two, and under a hundred agents. The floor is `pg` on the same server. */

import { postgresStore } from 'everturn/postgres';
import { Client, Pool } from 'pg';
import { startPostgres } from '../../test/support/postgres.ts';
import { kilobyte } from '../floors.ts';
import type { Bench } from '../report.ts';
import { measureAgents } from './agents.ts';
import { measureApart } from './apart.ts';
import { measureServer } from './figures.ts';
import type { Floor } from './figures.ts';

const AT_ONCE = 20;
const name = 'postgres';

export const postgres: Bench = {
  name,
  leavesOut: 'a network between the processes and the server',
  run: async (context) => {
    const server = await startPostgres();
    const { floor, close } = await openFloor(server.url);
    try {
      const store = postgresStore({ connectionString: server.url });
      const alone = await measureServer(context, { name, store, floor, stepAtMost: 2 });
      if (store.capabilities.durability !== 'fsync') throw new Error('The store does not promise to sync.');
      const apart = await measureApart(context, { name, url: server.url, floor });
      return [...alone, ...apart, await measureAgents(context, { name, url: server.url })];
    } finally {
      await close();
      await server.remove();
    }
  },
};

/** Throws where the server would not sync each commit. */
async function openFloor(connectionString: string): Promise<{ floor: Floor; close: () => Promise<void> }> {
  const client = new Client({ connectionString });
  client.on('error', () => undefined);
  await client.connect();
  for (const setting of ['fsync', 'synchronous_commit']) {
    const { rows } = await client.query<{ value: string }>('SELECT current_setting($1) AS value', [setting]);
    if (rows[0]?.value !== 'on') throw new Error(`${setting} is ${String(rows[0]?.value)}.`);
  }
  await client.query('CREATE TABLE steps (key bigserial PRIMARY KEY, body bytea)');
  const pool = new Pool({ connectionString, max: AT_ONCE });
  pool.on('error', () => undefined);
  const values = [Buffer.from(JSON.stringify(kilobyte(0)))];
  const insert = { name: 'insert', text: 'INSERT INTO steps (body) VALUES ($1)', values };
  const floor: Floor = {
    what: 'insert and commit',
    write: () => client.query(insert),
    whatMany: `inserts/s on ${AT_ONCE} connections`,
    async writeMany(count) {
      const each = async (): Promise<void> => {
        for (let i = 0; i < count / AT_ONCE; i += 1) await pool.query(insert);
      };
      await Promise.all(Array.from({ length: AT_ONCE }, each));
    },
  };
  return {
    floor,
    close: async () => {
      await client.end();
      await pool.end();
    },
  };
}
