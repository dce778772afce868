/** Scopes: key prefixes with counters. */

import type { Presence } from './presence.ts';
import type { ChildListener, MessagePlace, OpenWrites, OperationMetadata, Scope, ScopeKind } from './context.ts';

export interface RunScopeOptions {
  path: string;
  kind: ScopeKind;
  parent: RunScope | null;
  presence: Presence;
  shielded?: boolean;
  metadata?: OperationMetadata;
  onChild?: ChildListener | undefined;
  place?: MessagePlace | undefined;
  requestedBy?: string | undefined;
}

export class RunScope implements Scope {
  readonly path: string;
  readonly kind: ScopeKind;
  readonly parent: RunScope | null;
  readonly #presence: Presence;
  readonly shielded: boolean;
  readonly metadata?: OperationMetadata;
  readonly onChild?: ChildListener;
  readonly place?: MessagePlace;
  readonly requestedBy?: string;
  readonly #counts = new Map<string, number>();
  readonly #writes = new Set<OpenWrites>();
  #ended = false;

  constructor(options: RunScopeOptions) {
    const above: Partial<RunScope> = options.parent ?? {};
    this.path = options.path;
    this.kind = options.kind;
    this.parent = options.parent;
    this.#presence = options.presence;
    this.shielded = options.shielded ?? above.shielded ?? false;
    const metadata = options.metadata ?? (options.kind === 'shield' ? above.metadata : undefined);
    if (metadata !== undefined) this.metadata = metadata;
    const onChild = options.onChild ?? above.onChild;
    if (onChild !== undefined) this.onChild = onChild;
    const place = options.place ?? above.place;
    if (place !== undefined) this.place = place;
    const requestedBy = options.requestedBy ?? above.requestedBy;
    if (requestedBy !== undefined) this.requestedBy = requestedBy;
  }

  /** Where children are counted: this scope's node, or the nearest one that is still open. */
  get presence(): Presence {
    return this.#presence.open || this.parent === null ? this.#presence : this.parent.presence;
  }

  get ended(): boolean {
    return this.#ended;
  }

  writes(open: OpenWrites): void {
    this.#writes.add(open);
  }

  /** Resolves when what its code has written is taken; undefined if all is. */
  drained(): Promise<unknown> | undefined {
    return this.#writes.size === 0 ? undefined : Promise.all([...this.#writes].map((open) => open.drained(this)));
  }

  /** Its completion is recorded next, in the same breath. */
  completes(): void {
    for (const open of this.#writes) open.completes(this);
  }

  /** Its attempt is over, whatever code of it may still run. */
  end(): void {
    this.#ended = true;
  }

  /** The next key for a name: `<path>/<name>#<occurrence>`, without `#0`. */
  nextKey(name: string): string {
    const count = this.#counts.get(name) ?? 0;
    this.#counts.set(name, count + 1);
    return this.keyOf(count === 0 ? name : `${name}#${count}`);
  }

  keyOf(name: string): string {
    return this.path === '' ? name : `${this.path}/${name}`;
  }
}
