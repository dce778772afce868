/**
 * The process that serves the page and runs the agent: `fork('server-process.ts')` with its options as JSON in the first argument.
 * It may be killed at any moment; all that counts is in runs.db and shop.db.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createRuntime } from 'everturn';
import { createApp, serve } from 'everturn/server';
import { sqliteStore } from 'everturn/sqlite';
import { createSupportAgent } from './agent.ts';
import { openShop } from './database.ts';
import type { DemoState, FromServer } from './messages.ts';

export interface ServerProcessOptions {
  directory: string;
  port: number;
  life: number;
  /** The local model server's log, if there is one. */
  modelLog?: string;
}

const { directory, port, life, modelLog } = JSON.parse(process.argv[2] ?? '{}') as ServerProcessOptions;

const shop = openShop(join(directory, 'shop.db'));
const agent = createSupportAgent(shop, () => undefined, {
  // Where a shop would send mail: a link for a colleague, who need not see this page.
  async onApprovalRequested({ approval }) {
    const { approve, deny } = await approval.links({ to: 'a colleague' });
    shop.sendLink({ approvalId: approval.id, url: approve });
    console.log(`  ✉ ${approval.prompt}\n    approve  ${approve}\n    deny     ${deny}`);
  },
});
const runtime = createRuntime({
  store: sqliteStore(join(directory, 'runs.db')),
  agents: { support: agent },
  publicUrl: `http://127.0.0.1:${port}/api`,
});
const app = createApp(runtime);

const types = { html: 'text/html', js: 'text/javascript', css: 'text/css' };
const file = (name: string, type: keyof typeof types) => (): Response =>
  new Response(readFileSync(join(directory, 'page', name)), {
    headers: { 'content-type': `${types[type]}; charset=utf-8`, 'cache-control': 'no-store' },
  });
app.get('/', file('index.html', 'html'));
app.get('/main.js', file('main.js', 'js'));
app.get('/styles.css', file('styles.css', 'css'));
app.get('/demo/state', async () => Response.json(await readState()));
app.post('/demo/kill', ({ req }) => {
  if (req.header('origin') !== new URL(req.url).origin) return new Response(null, { status: 403 });
  tell({ kind: 'kill' });
  return new Response(null, { status: 202 });
});

const server = await serve(app, { port });
tell({ kind: 'ready', url: server.url });

function tell(message: FromServer): void {
  process.send?.(message);
}

async function readState(): Promise<DemoState> {
  return {
    pid: process.pid,
    life,
    shop: {
      refunds: shop.refunds(),
      bookings: shop.bookings(),
      messages: shop.outbox().length,
      toolCalls: shop.toolCalls().length,
    },
    links: shop.links(),
    modelRequests: modelLog === undefined ? undefined : await countRequests(modelLog),
  };
}

async function countRequests(url: string): Promise<number> {
  const entries = (await (await fetch(url)).json()) as unknown[];
  return entries.length;
}
