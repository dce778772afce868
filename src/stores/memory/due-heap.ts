/** The due runs of one queue, earliest first: a binary heap whose items know their place, so that any can leave it. */

export interface HeapItem {
  readonly run: { dueAt: number | null };
  /** Order of creation, which decides between runs that are due at once. */
  readonly order: number;
  /** Place in the heap; -1 if it is in none. */
  slot: number;
}

export class DueHeap<T extends HeapItem> {
  readonly #items: T[] = [];

  first(): T | undefined {
    return this.#items[0];
  }

  add(item: T): void {
    this.#items.push(item);
    this.#rise(item, this.#items.length - 1);
  }

  /** The item's `dueAt` must be what it was when it was added. */
  remove(item: T): void {
    const last = this.#items.pop();
    if (last !== undefined && last !== item) {
      const hole = item.slot;
      this.#rise(last, hole);
      if (last.slot === hole) this.#sink(last, hole);
    }
    item.slot = -1;
  }

  #rise(item: T, from: number): void {
    let slot = from;
    while (slot > 0) {
      const parent = this.#items[(slot - 1) >> 1];
      if (parent === undefined || !isBefore(item, parent)) break;
      this.#place(parent, slot);
      slot = (slot - 1) >> 1;
    }
    this.#place(item, slot);
  }

  #sink(item: T, from: number): void {
    let slot = from;
    for (;;) {
      const left = this.#items[2 * slot + 1];
      const right = this.#items[2 * slot + 2];
      const child = right !== undefined && left !== undefined && isBefore(right, left) ? right : left;
      if (child === undefined || !isBefore(child, item)) break;
      const next = child.slot;
      this.#place(child, slot);
      slot = next;
    }
    this.#place(item, slot);
  }

  #place(item: T, slot: number): void {
    this.#items[slot] = item;
    item.slot = slot;
  }
}

function isBefore(a: HeapItem, b: HeapItem): boolean {
  const left = a.run.dueAt ?? Infinity;
  const right = b.run.dueAt ?? Infinity;
  return left === right ? a.order < b.order : left < right;
}
