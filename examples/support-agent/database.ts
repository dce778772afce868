/** The shop's own database: customers, orders, and what the agent's tools do to them. everturn knows nothing of it. */
import { DatabaseSync } from 'node:sqlite';
import type { SQLInputValue } from 'node:sqlite';

export interface Order {
  id: number;
  customerId: number;
  customer: string;
  item: string;
  /** Euros. */
  total: number;
  status: 'delivered' | 'shipped';
  orderedOn: string;
}

export interface Refund {
  orderId: number;
  /** Euros. */
  amount: number;
  reason: string;
}

/** A parcel, a courier or a voucher: something outside that must not be there twice. */
export interface Booking {
  kind: 'parcel' | 'courier' | 'voucher';
  orderId: number;
  detail: string;
  number: string;
}

export interface MailedLink {
  approvalId: string;
  url: string;
}

/** One execution of a tool's body, whether or not it found its effect done. */
export interface ToolCallRecord {
  tool: string;
  /** The call's idempotency key. */
  key: string;
  attempt: number;
  pid: number;
}

export interface Shop {
  searchOrders(text: string): Order[];
  readOrder(id: number): Order | undefined;
  /** Pays back once per key; again with the same key, it changes nothing. */
  refund(refund: Refund, key: string): void;
  /** Books something once per key; again with the same key, it changes nothing. Answers its number. */
  book(booking: Omit<Booking, 'number'>, key: string): string;
  bookings(): Booking[];
  /** A link that a colleague got by mail, once per approval. */
  sendLink(link: MailedLink): void;
  links(): MailedLink[];
  /** Puts a message into the outbox once per key. */
  sendMessage(message: { customerId: number; text: string }, key: string): void;
  recordToolCall(call: ToolCallRecord): void;
  toolCalls(): ToolCallRecord[];
  refunds(): Refund[];
  outbox(): { customerId: number; text: string }[];
  close(): void;
}

const SCHEMA = `
  PRAGMA journal_mode = WAL;
  PRAGMA synchronous = FULL;
  PRAGMA busy_timeout = 5000;
  CREATE TABLE IF NOT EXISTS customers (id INTEGER PRIMARY KEY, name TEXT NOT NULL, email TEXT NOT NULL);
  CREATE TABLE IF NOT EXISTS orders (
    id INTEGER PRIMARY KEY, customer_id INTEGER NOT NULL REFERENCES customers, item TEXT NOT NULL,
    cents INTEGER NOT NULL, status TEXT NOT NULL, ordered_on TEXT NOT NULL
  );
  CREATE TABLE IF NOT EXISTS refunds (
    key TEXT PRIMARY KEY, order_id INTEGER NOT NULL REFERENCES orders, cents INTEGER NOT NULL, reason TEXT NOT NULL
  );
  CREATE TABLE IF NOT EXISTS outbox (key TEXT PRIMARY KEY, customer_id INTEGER NOT NULL REFERENCES customers, text TEXT NOT NULL);
  CREATE TABLE IF NOT EXISTS bookings (
    id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, kind TEXT NOT NULL, order_id INTEGER NOT NULL REFERENCES orders, detail TEXT NOT NULL
  );
  CREATE TABLE IF NOT EXISTS links (approval TEXT PRIMARY KEY, url TEXT NOT NULL);
  CREATE TABLE IF NOT EXISTS tool_calls (
    id INTEGER PRIMARY KEY, tool TEXT NOT NULL, key TEXT NOT NULL, attempt INTEGER NOT NULL, pid INTEGER NOT NULL
  );
`;

const BOOKINGS =
  "SELECT kind, order_id AS orderId, detail, upper(substr(kind, 1, 1)) || '-' || (500 + id) AS number FROM bookings";

const ORDER_COLUMNS = `
  SELECT orders.id, customer_id AS customerId, name AS customer, item, cents / 100.0 AS total, status, ordered_on AS orderedOn
  FROM orders JOIN customers ON customers.id = customer_id
`;

/** Opens the database and fills it if it is new: 120 customers and 320 orders, the same each time. */
export function openShop(file: string): Shop {
  const db = new DatabaseSync(file);
  db.exec(SCHEMA);
  if (db.prepare('SELECT 1 FROM orders').get() === undefined) seed(db);
  const all = <T>(sql: string, ...values: SQLInputValue[]): T[] =>
    db
      .prepare(sql)
      .all(...values)
      .map((row) => ({ ...row }) as T);
  const run = (sql: string, ...values: SQLInputValue[]): void => void db.prepare(sql).run(...values);
  return {
    searchOrders: (text) => searchOrders(all<Order>(`${ORDER_COLUMNS} ORDER BY orders.id DESC`), text),
    readOrder: (id) => all<Order>(`${ORDER_COLUMNS} WHERE orders.id = ?`, id)[0],
    refund: ({ orderId, amount, reason }, key) =>
      run(
        'INSERT INTO refunds VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING',
        key,
        orderId,
        Math.round(amount * 100),
        reason,
      ),
    book: ({ kind, orderId, detail }, key) => {
      run(
        'INSERT INTO bookings (key, kind, order_id, detail) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING',
        key,
        kind,
        orderId,
        detail,
      );
      return all<Booking>(`${BOOKINGS} WHERE key = ?`, key)[0]?.number ?? '';
    },
    bookings: () => all(`${BOOKINGS} ORDER BY id`),
    sendLink: ({ approvalId, url }) => run('INSERT INTO links VALUES (?, ?) ON CONFLICT DO NOTHING', approvalId, url),
    links: () => all('SELECT approval AS approvalId, url FROM links'),
    sendMessage: ({ customerId, text }, key) =>
      run('INSERT INTO outbox VALUES (?, ?, ?) ON CONFLICT DO NOTHING', key, customerId, text),
    recordToolCall: ({ tool, key, attempt, pid }) =>
      run('INSERT INTO tool_calls (tool, key, attempt, pid) VALUES (?, ?, ?, ?)', tool, key, attempt, pid),
    toolCalls: () => all('SELECT tool, key, attempt, pid FROM tool_calls ORDER BY id'),
    refunds: () => all('SELECT order_id AS orderId, cents / 100.0 AS amount, reason FROM refunds'),
    outbox: () => all('SELECT customer_id AS customerId, text FROM outbox'),
    close: () => db.close(),
  };
}

/** Orders that share words with the text, best first, at most five. */
function searchOrders(orders: readonly Order[], text: string): Order[] {
  const words = text.toLowerCase().match(/[\p{L}\p{N}]{3,}/gu) ?? [];
  const scored = orders.map((order) => {
    const line = `${order.id} ${order.item} ${order.customer}`.toLowerCase();
    return { order, score: words.filter((word) => line.includes(word)).length };
  });
  const found = scored.filter(({ score }) => score > 0).toSorted((a, b) => b.score - a.score);
  return found.slice(0, 5).map(({ order }) => order);
}

const FIRST_NAMES = ['Ada', 'Bo', 'Carla', 'Deniz', 'Emil', 'Fatima', 'Goran', 'Hanna', 'Ivo', 'Jun', 'Kira', 'Luca'];
const LAST_NAMES = ['Adler', 'Brandt', 'Costa', 'Duval', 'Eklund', 'Fischer', 'Greco', 'Horvat', 'Ito', 'Jansen'];
const ITEMS: readonly (readonly [item: string, cents: number])[] = [
  ['kettle', 8900],
  ['toaster', 4500],
  ['coffee grinder', 6400],
  ['bread knife', 2900],
  ['cast-iron pan', 7200],
  ['tea pot', 3800],
  ['kitchen scale', 2400],
  ['apron', 1900],
];

function seed(db: DatabaseSync): void {
  const customer = db.prepare('INSERT INTO customers VALUES (?, ?, ?)');
  const order = db.prepare('INSERT INTO orders VALUES (?, ?, ?, ?, ?, ?)');
  db.exec('BEGIN');
  for (let id = 1; id <= 120; id++) {
    const name = `${at(FIRST_NAMES, id)} ${at(LAST_NAMES, Math.floor(id / FIRST_NAMES.length))}`;
    customer.run(id, name, `${name.toLowerCase().replace(' ', '.')}@example.com`);
  }
  for (let n = 0; n < 320; n++) {
    const id = 1000 + n;
    const [item, cents] = id === 1042 ? at(ITEMS, 0) : at(ITEMS, n * 5 + Math.floor(n / 7));
    const day = String((n % 28) + 1).padStart(2, '0');
    const status = n % 9 === 0 ? 'shipped' : 'delivered';
    order.run(id, id === 1042 ? 17 : ((n * 37) % 120) + 1, item, cents, status, `2025-11-${day}`);
  }
  db.exec('COMMIT');
}

function at<T>(list: readonly T[], index: number): T {
  return list[index % list.length] as T;
}
