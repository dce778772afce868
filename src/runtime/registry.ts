/** The workflows and agents that a process knows, by name. */

import { encodeText, stringifyValue } from './codec.ts';
import { DurableError } from './errors.ts';
import type { Keyring } from './keyring.ts';
import { checkNumber, tenantLimit } from './limits.ts';
import type { Registrable, WorkflowDefinition } from './registrable.ts';
import type { NewRun, Run } from './store.ts';

export interface RunOptions {
  id: string;
  input: unknown;
  thread?: string | null;
  tenant?: string | null;
  attributes?: Record<string, string>;
  supersedes?: string | null;
  whenBusy?: NewRun['whenBusy'];
}

export class Registry {
  readonly version: string;
  readonly #byName = new Map<string, WorkflowDefinition>();
  readonly #names = new Map<Registrable, string>();
  readonly #perTenant: number | undefined;

  /** Throws `invalid_argument`. */
  constructor(version: string, { perTenant }: { perTenant?: number | undefined } = {}) {
    this.version = version;
    if (perTenant !== undefined) checkNumber(perTenant, 'limits.perTenant');
    this.#perTenant = perTenant;
  }

  /** Throws `duplicate_name`. */
  add(name: string, registrable: Registrable): void {
    if (this.#byName.has(name)) {
      throw new DurableError(
        'duplicate_name',
        `Cannot register "${name}" twice: runs find their code by this name. Rename one of the two.`,
        { details: { name } },
      );
    }
    const other = this.#names.get(registrable);
    if (other !== undefined) {
      throw new DurableError(
        'duplicate_name',
        `Cannot register "${name}": the same object is registered as "${other}". Create a second one, or start it under that name.`,
        { details: { name, other } },
      );
    }
    this.#byName.set(name, registrable.toWorkflow(name));
    this.#names.set(registrable, name);
  }

  /** The definition of a name or a registered object. Throws `workflow_not_found` with the names there are. */
  find(target: unknown): WorkflowDefinition {
    const name = typeof target === 'string' ? target : this.#names.get(target as Registrable);
    const definition = name === undefined ? undefined : this.#byName.get(name);
    if (definition !== undefined) return definition;
    const known = [...this.#byName.keys()].map((key) => `"${key}"`).join(', ');
    const what = typeof target === 'string' ? `"${target}"` : 'this workflow or agent';
    throw new DurableError(
      'workflow_not_found',
      `Cannot find ${what}: it is not registered. Pass it to createRuntime({ agents, workflows }); registered are: ${known === '' ? 'none' : known}.`,
      { details: { known: [...this.#byName.keys()] } },
    );
  }

  queueOf(definition: WorkflowDefinition): string {
    return definition.versions === 'newest' ? `${definition.name}@*` : `${definition.name}@${this.version}`;
  }

  get definitions(): readonly WorkflowDefinition[] {
    return [...this.#byName.values()];
  }

  /** Of all that is registered. */
  get queues(): string[] {
    return this.definitions.map((definition) => this.queueOf(definition));
  }

  /** The workflow that is registered here, but in another version, if this is its queue. */
  otherVersion(queue: string): { workflow: string; version: string } | undefined {
    const [workflow] = [...this.#byName.keys()]
      .filter((name) => queue.startsWith(`${name}@`))
      .toSorted((a, b) => b.length - a.length);
    if (workflow === undefined || this.queues.includes(queue)) return undefined;
    return { workflow, version: queue.slice(workflow.length + 1) };
  }

  /** A row to start. Throws what `parseInput` and the codec throw. */
  async newRun(definition: WorkflowDefinition, options: RunOptions, keys: Keyring): Promise<NewRun> {
    const input = definition.parseInput === undefined ? options.input : await definition.parseInput(options.input);
    const { id, thread = null, tenant = null, attributes = {} } = options;
    const text = stringifyValue(input, `the input of "${definition.name}"`);
    return {
      id,
      workflow: definition.name,
      version: this.version,
      queue: this.queueOf(definition),
      thread,
      tenant,
      input: encodeText(text, `the input of "${definition.name}"`),
      inputHash: keys.hashInput(definition.name, text),
      attributes,
      parent: null,
      supersedes: options.supersedes ?? null,
      limits: [
        ...(definition.limits?.(definition.name, { id, thread, tenant, attributes, input }) ?? []),
        ...tenantLimit(tenant, this.#perTenant),
      ],
      ...(options.whenBusy === undefined ? {} : { whenBusy: options.whenBusy }),
    };
  }

  /** A child's row: its tenant and attributes are its parent's. */
  childRun(keys: Keyring, child: { parent: Run; target: unknown; id: string; input: unknown }): Promise<NewRun> {
    const { parent, target, id, input } = child;
    return this.newRun(this.find(target), { id, input, tenant: parent.tenant, attributes: parent.attributes }, keys);
  }
}
