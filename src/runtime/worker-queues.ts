/** Which of the workflows and agents that a process has registered its worker executes. */

import { DurableError } from './errors.ts';
import type { WorkflowDefinition } from './registrable.ts';
import type { Registry } from './registry.ts';

/** The queues of what is named, `name` or `name@version`; of all that is registered if nothing is. Throws `invalid_argument`. */
export function toWorkerQueues(registry: Registry, named: readonly string[] | undefined): readonly string[] {
  if (named === undefined) return registry.queues;
  if (!Array.isArray(named) || named.length === 0)
    throw invalid(
      `with worker.queues ${JSON.stringify(named)}`,
      'Write a list of names, or leave it out: then this process executes all that it has. One that executes nothing has worker: false.',
    );
  return [...new Set(named.map((name: unknown) => queueNamed(registry, name)))];
}

function queueNamed(registry: Registry, name: unknown): string {
  const { definitions } = registry;
  const text = typeof name === 'string' ? name : '';
  const exact = definitions.find((definition) => definition.name === text);
  if (exact !== undefined) return registry.queueOf(exact);
  const definition = definitions
    .filter((each) => text.startsWith(`${each.name}@`))
    .toSorted((a, b) => b.name.length - a.name.length)[0];
  if (definition === undefined) throw notRegistered(name, definitions);
  return queueOfVersion(registry, { definition, text });
}

function queueOfVersion(
  registry: Registry,
  { definition, text }: { definition: WorkflowDefinition; text: string },
): string {
  const version = text.slice(definition.name.length + 1);
  const followsNewest = definition.versions === 'newest';
  if (text === registry.queueOf(definition) || (!followsNewest && version !== '' && version !== '*')) return text;
  throw invalid(
    `with "${text}" in worker.queues: ${followsNewest ? 'any version goes on with its runs' : 'it names no version'}`,
    `Write "${definition.name}"${followsNewest ? '' : `, or "${definition.name}@1" for the runs that version 1 began`}.`,
  );
}

function notRegistered(name: unknown, definitions: readonly WorkflowDefinition[]): DurableError {
  const known = definitions.map((definition) => definition.name);
  const list = known.length === 0 ? 'none' : known.map((each) => `"${each}"`).join(', ');
  return invalid(
    `with ${JSON.stringify(name)} in worker.queues: it is not registered here`,
    `Pass it to createRuntime({ agents, workflows }) too, or leave it out; registered are: ${list}.`,
    { name, known },
  );
}

function invalid(what: string, form: string, details?: Record<string, unknown>): DurableError {
  return new DurableError(
    'invalid_argument',
    `Cannot create a runtime ${what}. ${form}`,
    details === undefined ? {} : { details },
  );
}
