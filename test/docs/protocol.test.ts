import { DurableAgent } from 'everturn';
import { memoryStore } from 'everturn/memory';
import { createApp } from 'everturn/server';
import { expect, it } from 'vitest';
import * as wire from '../../src/streams/wire.ts';
import { scriptedModel, startRuntime } from '../agent/run-kit.ts';
import { page } from './pages.ts';

const { text } = page('docs/PROTOCOL.md');

/** Names of fields and parameters in an OpenAPI document, and the values of its enumerations. */
function namesIn(value: unknown): string[] {
  if (Array.isArray(value)) return value.flatMap((each) => namesIn(each));
  if (typeof value !== 'object' || value === null) return [];
  const { properties, enum: values, parameters } = value as Record<string, unknown>;
  return [
    ...(typeof properties === 'object' && properties !== null ? Object.keys(properties) : []),
    ...(Array.isArray(values) ? values.filter((each) => typeof each === 'string') : []),
    ...(Array.isArray(parameters) ? parameters.map(({ name }: { name: string }) => name) : []),
    ...Object.values(value).flatMap((each) => namesIn(each)),
  ];
}

it('tells of each field, parameter and word of the OpenAPI document', async () => {
  const agents = { support: new DurableAgent({ model: scriptedModel([]).model }) };
  const runtime = startRuntime({ store: memoryStore(), agents });
  const response = await createApp(runtime).request('http://localhost/api/openapi.json');
  const names = new Set(namesIn(await response.json()));
  await runtime.close({ graceMs: 0 });
  expect(names.size).toBeGreaterThan(60);
  expect([...names].filter((name) => !new RegExp(`(?<![\\w-])${name}(?![\\w-])`, 'i').test(text))).toEqual([]);
});

it('mounts no route that the OpenAPI document leaves out', async () => {
  const agents = { support: new DurableAgent({ model: scriptedModel([]).model }) };
  const runtime = startRuntime({ store: memoryStore(), agents });
  const app = createApp(runtime);
  const { paths } = (await (await app.request('http://localhost/api/openapi.json')).json()) as { paths: object };
  const documented = Object.keys(paths).map((path) => path.replaceAll(/\{(\w+)\}/g, ':$1'));
  await runtime.close({ graceMs: 0 });
  const mounted = new Set(app.routes.map(({ path }) => path.replaceAll(/\{[^}]*\}/g, '')));
  expect([...mounted].toSorted()).toEqual([...documented, '/api/openapi.json'].toSorted());
});

it('names each part that everturn adds to a message', () => {
  const parts = Object.values(wire).filter((value) => typeof value === 'string' && value.startsWith('data-'));
  expect(parts.length).toBeGreaterThan(2);
  expect(
    [...parts, 'reset-step', 'steering-message'].filter((part) => !text.includes(`| \`${part as string}\``)),
  ).toEqual([]);
});
