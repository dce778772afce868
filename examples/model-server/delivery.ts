/** Sends a planned response at a person's reading pace, or breaks it off where a fault says so. */
import type { ServerResponse } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import type { Fault } from './faults.ts';
import type { LogEntry, RequestLog } from './request-log.ts';
import { ApiError } from './wire.ts';
import type { PlannedResponse, StreamEvent, Wire } from './wire.ts';

/** One response on its way. */
export interface Delivery {
  wire: Wire;
  log: RequestLog;
  entry: LogEntry;
  res: ServerResponse;
  response: PlannedResponse;
  fault: Fault | undefined;
  /** Milliseconds per token, on average. */
  pacingMs: number;
}

export async function deliver(delivery: Delivery, stream: boolean): Promise<void> {
  await (stream ? deliverEvents(delivery) : deliverWhole(delivery));
}

async function deliverEvents(delivery: Delivery): Promise<void> {
  const { wire, log, entry, res, response, pacingMs } = delivery;
  const events = wire.events(response);
  const limit = breakAfter(delivery.fault, events);
  res.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8', 'cache-control': 'no-cache' });
  let unsent = '';
  for (const [index, event] of events.entries()) {
    if (event.paced && entry.sentTokens === limit) return breakOff(delivery, { unsent, sequence: index });
    unsent += encodeEvent(event);
    if (!event.paced) continue;
    entry.sentTokens += 1;
    if (pacingMs === 0) continue;
    res.write(unsent);
    unsent = '';
    log.changed();
    await delay(paceOf(event, pacingMs));
    if (res.destroyed) return;
  }
  // Settled before the last byte, so that a client that has read the response finds it in the log.
  log.settle(entry, response.incomplete ? 'incomplete' : 'completed');
  res.end(unsent);
}

async function deliverWhole(delivery: Delivery): Promise<void> {
  const { wire, log, entry, res, response, fault, pacingMs } = delivery;
  const tokens = wire.events(response).filter((event) => event.paced);
  const body = JSON.stringify(wire.whole(response));
  if (pacingMs > 0) await delay(tokens.length * pacingMs);
  if (res.destroyed) return;
  const broken = fault !== undefined && fault.kind !== 'incomplete';
  if (broken && fault.kind === 'error-event') return reject(delivery, { error: failureOf(wire, 500) });
  if (broken && fault.kind === 'hang') return log.settle(entry, 'hung');
  res.writeHead(200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) });
  if (broken) return breakOff(delivery, { unsent: body.slice(0, Math.floor(body.length / 2)), sequence: 0 });
  entry.sentTokens = tokens.length;
  log.settle(entry, response.incomplete ? 'incomplete' : 'completed');
  res.end(body);
}

function breakOff(delivery: Delivery, { unsent, sequence }: { unsent: string; sequence: number }): void {
  const { wire, log, entry, res, fault } = delivery;
  if (fault?.kind === 'error-event') {
    log.settle(entry, 'failed');
    res.end(unsent + encodeEvent(wire.errorEvent(failureOf(wire, 500), sequence)));
    return;
  }
  if (fault?.kind === 'hang') {
    log.settle(entry, 'hung');
    res.write(unsent);
    return;
  }
  log.settle(entry, 'cut');
  // The bytes must have left before the socket is destroyed, else they are lost with it.
  res.write(unsent, () => res.destroy());
}

/** Answers with an error instead of a response. */
export function reject(
  { wire, log, entry, res }: Pick<Delivery, 'wire' | 'log' | 'entry' | 'res'>,
  { error, retryAfterMs }: { error: ApiError; retryAfterMs?: number | undefined },
): void {
  const headers: Record<string, string> = { 'content-type': 'application/json', 'x-request-id': entry.id };
  if (retryAfterMs !== undefined) {
    headers['retry-after-ms'] = String(retryAfterMs);
    headers['retry-after'] = String(Math.ceil(retryAfterMs / 1000));
  }
  entry.status = error.status;
  entry.error = error.message;
  log.settle(entry, 'rejected');
  res.writeHead(error.status, headers).end(JSON.stringify(wire.errorBody(error)));
}

export function failureOf(wire: Wire, status: 429 | 500): ApiError {
  const { message, type, code } = wire.failures[status];
  return new ApiError(message, { status, type, code });
}

// Where a fault breaks the stream off, in paced events; incomplete responses are planned shorter instead.
function breakAfter(fault: Fault | undefined, events: readonly StreamEvent[]): number | undefined {
  if (!fault || fault.kind === 'incomplete') return undefined;
  const total = events.filter((event) => event.paced).length;
  return Math.min(fault.afterTokens ?? Math.floor(total / 2), Math.max(total - 1, 0));
}

function encodeEvent({ event, data }: StreamEvent): string {
  return `event: ${event}\ndata: ${JSON.stringify(data)}\n\n`;
}

// People read on at a sentence's end more slowly than within it.
function paceOf({ data }: StreamEvent, pacingMs: number): number {
  const endsSentence = /[.!?:]\s*"?/.test(JSON.stringify(data['delta']));
  return pacingMs * (0.5 + Math.random()) * (endsSentence ? 4 : 1);
}
