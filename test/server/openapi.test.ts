import { DurableAgent } from 'everturn';
import { memoryStore } from 'everturn/memory';
import { createApp } from 'everturn/server';
import { Validator } from '@seriousme/openapi-schema-validator';
import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { scriptedModel, startRuntime } from '../agent/run-kit.ts';

interface Document {
  openapi: string;
  paths: Record<string, Record<string, { summary?: string; responses: Record<string, unknown> }>>;
}

async function readDocument(basePath: string): Promise<Document> {
  const runtime = startRuntime({
    store: memoryStore(),
    agents: { support: new DurableAgent({ model: scriptedModel([]).model }) },
  });
  const response = await createApp(runtime, { basePath }).request(`http://localhost${basePath}/openapi.json`);
  await runtime.close({ graceMs: 0 });
  return (await response.json()) as Document;
}

it.each(['/api', '', '/deep/er'])('the OpenAPI document at "%s" is valid', async (basePath) => {
  const document = await readDocument(basePath);
  const { valid, errors } = await new Validator().validate({ ...structuredClone(document) });
  expect(errors ?? []).toEqual([]);
  expect(valid).toBe(true);
  expect(document.openapi).toBe('3.1.0');
  expect(Object.keys(document.paths).every((path) => path.startsWith(basePath))).toBe(true);
});

it('has each route of the protocol, with a summary and with errors', async () => {
  const { paths } = await readDocument('/api');
  const routes = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, route]) => {
      expect(route.summary).toBeTruthy();
      expect(route.responses).toHaveProperty('default');
      return `${method.toUpperCase()} ${path.replace('/api', '').replaceAll(/\{(\w+)\}/g, ':$1')}`;
    }),
  );
  const text = readFileSync(new URL('../../docs/PROTOCOL.md', import.meta.url), 'utf8');
  const table = text.slice(0, text.indexOf('## Ids and positions'));
  const written = [...table.matchAll(/`(GET|POST) (\/[^`]+)`/g), ...table.matchAll(/(GET) `?(\/openapi\.json)/g)]
    .map(([, method, path]) => `${method} ${path}`)
    .filter((route) => !route.includes('openapi.json') && !route.includes('/api/'));
  expect(routes.toSorted()).toEqual([...new Set(written)].toSorted());
});
