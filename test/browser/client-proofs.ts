/** What a person may do and what may happen to them, with any client of `app/page.tsx`. */

import { expect, it } from 'vitest';
import type { Screen } from './screen.ts';
import { words } from './theatre.ts';
import type { Theatre } from './theatre.ts';

/** What no two tests have in common, so that the tools' acts can be told apart. */
let amounts = 100;

export function describeClient(client: string, theatre: Theatre): void {
  describeInterruptions(client, theatre);
  describeApprovals(client, theatre);
  describeStops(client, theatre);
}

function describeInterruptions(client: string, theatre: Theatre): void {
  const { open, showsWhatIsStored } = theatre;

  const restartServer = async ({ page }: Screen): Promise<void> => {
    await theatre.stage().kill();
    await theatre.stage().start();
    // The stock client takes a broken connection for the end of the answer.
    if (client === 'stock') await page.reload();
  };

  it('shows words as they arrive', async () => {
    const { screen, id } = await open(client);
    await screen.send('count 30 30');
    await screen.shows('w2');
    expect(words((await screen.texts())[1]).length).toBeLessThan(30);
    expect(await screen.status()).toBe('streaming');
    await screen.is('ready');
    const [, answer] = await showsWhatIsStored(screen, id);
    expect(words(answer)).toHaveLength(30);
  });

  // The page is in StrictMode, which mounts twice.
  it('is reloaded in mid-answer, resumes once, and shows all of it', async () => {
    const { screen, id } = await open(client);
    await screen.send('count 40 40');
    await screen.shows('w5');
    const asked: string[] = [];
    screen.page.on('request', (request) => asked.push(new URL(request.url()).pathname));
    await screen.page.reload();
    await screen.shows('w5');
    await screen.shows('w39');
    await screen.is('ready');
    expect(words((await showsWhatIsStored(screen, id))[1])).toHaveLength(40);
    expect(asked.filter((path) => path.endsWith('/stream'))).toHaveLength(1);
  });

  it('outlives the server, killed in mid-answer: no word of the dead attempt stays', async () => {
    const { screen, id } = await open(client);
    await screen.send('count 40 30');
    await screen.shows('w5');
    await restartServer(screen);
    await screen.shows('w39');
    await screen.is('ready');
    const [, answer] = await showsWhatIsStored(screen, id);
    expect(words(answer)).toHaveLength(40);
    const processes = new Set(words(answer).map((word) => word.split('w')[0]));
    expect(processes.size).toBe(1);
  });

  it('outlives the server, killed in mid-tool', async () => {
    const { screen, id } = await open(client);
    const amount = (amounts += 1);
    await screen.send(`slow ${amount}`);
    await theatre.witnesses(`slow ${amount} begins`);
    await restartServer(screen);
    await screen.shows('Result');
    await screen.is('ready');
    await showsWhatIsStored(screen, id);
    const acts = await theatre.actsOf(`slow ${amount} `);
    expect(acts.filter((line) => line.endsWith('ends'))).toHaveLength(1);
  });
}

function describeApprovals(client: string, theatre: Theatre): void {
  const { open, actsOf, showsWhatIsStored } = theatre;

  const ask = async (): Promise<{ screen: Screen; id: string; amount: number }> => {
    const amount = (amounts += 1);
    const { screen, id } = await open(client);
    await screen.send(`refund ${amount}`);
    await screen.asks();
    return { screen, id, amount };
  };

  /** Somebody else has answered: our hook's page changes by itself, one with `useChat` when it is loaded again. */
  const hearOfIt = async ({ page }: Screen): Promise<void> => {
    if (client !== 'durable') await page.reload();
  };

  const isRefunded = async ({ screen, id }: { screen: Screen; id: string }, amount: number): Promise<void> => {
    await screen.shows('Result');
    await screen.is('ready');
    expect(await screen.cards()).toBe(0);
    const [, answer] = await showsWhatIsStored(screen, id);
    expect(answer).toMatch(new RegExp(`refund ${amount}\\b`));
    expect(await actsOf(`refund ${amount} `)).toEqual([`refund ${amount} begins`, `refund ${amount} ends`]);
  };

  it('approves after a restart of the server and a reload', async () => {
    const { screen, id, amount } = await ask();
    await theatre.stage().kill();
    await theatre.stage().start();
    await screen.page.reload();
    await screen.press('Approve');
    await isRefunded({ screen, id }, amount);
  });

  it('approves in a second tab', async () => {
    const { screen, id, amount } = await ask();
    const second = await theatre.stage().open(screen.page.context(), { id, client });
    await second.press('Approve');
    await isRefunded({ screen: second, id }, amount);
    await hearOfIt(screen);
    await isRefunded({ screen, id }, amount);
  });

  it('is approved from code while the page is open', async () => {
    const { screen, id, amount } = await ask();
    theatre.stage().approveInCode(await theatre.stage().pendingApproval(id));
    await theatre.isIdle(id);
    await hearOfIt(screen);
    await isRefunded({ screen, id }, amount);
  });

  it('is approved from the command line with another amount while the page is open: the tool runs with it', async () => {
    const { screen, id, amount } = await ask();
    const approval = await theatre.stage().pendingApproval(id);
    const input = JSON.stringify({ amount: amount + 0.5 });
    const { code, stderr } = await theatre.stage().cli('approve', approval, '--by', 'ada', '--input', input);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    await theatre.isIdle(id);
    await hearOfIt(screen);
    await isRefunded({ screen, id }, amount + 0.5);
    expect(await actsOf(`refund ${amount} `)).toEqual([]);
  });

  it('denies with a reason, which the model is told', async () => {
    const { screen, id, amount } = await ask();
    await screen.press('Deny');
    await screen.shows('Result');
    await screen.is('ready');
    const [, answer] = await showsWhatIsStored(screen, id);
    expect(answer).toContain('too much');
    expect(await actsOf(`refund ${amount} `)).toEqual([]);
  });

  // The stock client has no way to say it; the command line has.
  it.skipIf(client === 'stock')('edits the amount: the tool runs with it, and the model says so', async () => {
    const { screen, id, amount } = await ask();
    await screen.press('Edit');
    await isRefunded({ screen, id }, amount + 0.5);
    expect(await actsOf(`refund ${amount} `)).toEqual([]);
  });
}

function describeStops(client: string, theatre: Theatre): void {
  const { open, showsWhatIsStored } = theatre;

  /** What was there stays, once, also after a reload, and the next message is answered. */
  const staysStopped = async (screen: Screen, id: string): Promise<string[]> => {
    await screen.is('ready');
    const before = await showsWhatIsStored(screen, id);
    await screen.page.reload();
    await screen.is('ready');
    expect(await showsWhatIsStored(screen, id)).toEqual(before);
    expect(await screen.cards()).toBe(0);
    await screen.send('hello');
    await screen.shows('You said: hello');
    await screen.is('ready');
    expect(await showsWhatIsStored(screen, id)).toEqual([...before, 'hello', 'You said: hello']);
    return before;
  };

  const count = async (): Promise<{ screen: Screen; id: string }> => {
    const opened = await open(client);
    await opened.screen.send('count 1000 30');
    await opened.screen.shows('w5');
    return opened;
  };

  it('stops in mid-answer', async () => {
    const { screen, id } = await count();
    await screen.press('Stop');
    const [, answer] = await staysStopped(screen, id);
    expect(words(answer).length).toBeLessThan(900);
  });

  it('stops in mid-answer after a reload', async () => {
    const { screen, id } = await count();
    await screen.page.reload();
    await screen.shows('w5');
    await screen.press('Stop');
    const [, answer] = await staysStopped(screen, id);
    expect(words(answer).length).toBeLessThan(900);
  });

  it('stops from another tab', async () => {
    const { screen, id } = await count();
    const second = await theatre.stage().open(screen.page.context(), { id, client });
    await second.shows('w5');
    await second.press('Stop');
    await Promise.all([screen.is('ready'), second.is('ready')]);
    await showsWhatIsStored(second, id);
    const [, answer] = await staysStopped(screen, id);
    expect(words(answer).length).toBeLessThan(900);
  });

  it('stops in mid-tool', async () => {
    const { screen, id } = await open(client);
    const ms = 60_000 + (amounts += 1);
    await screen.send(`slow ${ms}`);
    await theatre.witnesses(`slow ${ms} begins`);
    await screen.press('Stop');
    expect(await staysStopped(screen, id)).toEqual([`slow ${ms}`, 'One moment. ']);
  });

  it('stops while it waits', async () => {
    const { screen, id } = await open(client);
    const amount = (amounts += 1);
    await screen.send(`refund ${amount}`);
    await screen.asks();
    await screen.press('Stop');
    await theatre.isIdle(id);
    // A response that waits for an answer has ended: `useChat` reads nothing that could tell.
    if (client !== 'durable') await screen.page.reload();
    expect(await staysStopped(screen, id)).toEqual([`refund ${amount}`, 'One moment. ']);
    expect(await theatre.actsOf(`refund ${amount} `)).toEqual([]);
  });
}
