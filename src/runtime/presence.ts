/**
 * What a run is doing, as a tree: the workflow, agent calls and tools are scopes; bodies and waits are their leaves.
 *
 *  A1 A scope is `busy` if a child is busy, or if it has no child at all (it runs plain code); else `held` if a child is
 *     held; else `waiting`.
 *  A2 `busy`: a body runs. `held`: asked for, and answered by the journal or started later in replay. `waiting`: a hook, a
 *     timer, a child run.
 *  A3 A run is quiescent when its root is not busy, and may suspend when its root is waiting.
 */

export type PresenceState = 'busy' | 'held' | 'waiting';

export class Presence {
  readonly parent: Presence | null;
  /** Key prefix of an agent call; null for other nodes. */
  readonly agentPath: string | null;
  readonly #onChange: () => void;
  readonly #counts: Record<PresenceState, number> = { busy: 0, held: 0, waiting: 0 };
  readonly #fixed: boolean;
  #state: PresenceState;
  #open = true;

  private constructor(
    parent: Presence | null,
    options: { state: PresenceState; fixed: boolean; agentPath: string | null; onChange: () => void },
  ) {
    this.parent = parent;
    this.#state = options.state;
    this.#fixed = options.fixed;
    this.agentPath = options.agentPath;
    this.#onChange = options.onChange;
    if (parent !== null) parent.#count(this.#state, 1);
  }

  static root(onChange: () => void): Presence {
    return new Presence(null, { state: 'busy', fixed: false, agentPath: null, onChange });
  }

  /** A scope: its state follows its children. */
  scope(agentPath: string | null = null): Presence {
    return new Presence(this, { state: 'busy', fixed: false, agentPath, onChange: this.#onChange });
  }

  /** A body or a wait: its state is set. */
  leaf(state: PresenceState): Presence {
    return new Presence(this, { state, fixed: true, agentPath: null, onChange: this.#onChange });
  }

  get state(): PresenceState {
    return this.#state;
  }

  get open(): boolean {
    return this.#open;
  }

  set(state: PresenceState): void {
    if (!this.#open || state === this.#state) return;
    const before = this.#state;
    this.#state = state;
    if (this.parent === null) this.#onChange();
    else this.parent.#move(before, state);
  }

  /** Removes the node; later changes below it do not matter. Idempotent. */
  leave(): void {
    if (!this.#open) return;
    this.#open = false;
    if (this.parent !== null) this.parent.#count(this.#state, -1);
  }

  #count(state: PresenceState, by: number): void {
    this.#counts[state] += by;
    this.#derive();
  }

  #move(from: PresenceState, to: PresenceState): void {
    this.#counts[from] -= 1;
    this.#counts[to] += 1;
    this.#derive();
  }

  #derive(): void {
    if (this.#fixed) return;
    const { busy, held, waiting } = this.#counts;
    this.set(busy > 0 || held + waiting === 0 ? 'busy' : held > 0 ? 'held' : 'waiting');
    if (this.parent === null) this.#onChange();
  }
}
