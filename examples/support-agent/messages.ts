/** What the server process and the supervisor tell each other, and what the page asks for besides everturn's own API. */
import type { Booking, MailedLink, Refund } from './database.ts';

export type FromServer =
  | { kind: 'ready'; url: string }
  /** The page wants this process dead. */
  | { kind: 'kill' };

/** What `GET /demo/state` answers. */
export interface DemoState {
  pid: number;
  /** Which process this is: 1 for the first, one more after each kill. */
  life: number;
  /** What the shop's own database holds. */
  shop: { refunds: Refund[]; bookings: Booking[]; messages: number; toolCalls: number };
  /** What a colleague has got by mail. */
  links: MailedLink[];
  /** Undefined with a real model. */
  modelRequests: number | undefined;
}
