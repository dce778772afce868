import { afterEach, beforeEach, expect, vi } from 'vitest';

const METHODS = ['debug', 'info', 'log', 'warn', 'error'] as const;

/** Each test of the file fails if something is printed: what goes wrong in a run is the logger's to tell. */
export function expectSilentConsole(): void {
  const printed: unknown[][] = [];
  beforeEach(() => {
    printed.length = 0;
    for (const method of METHODS) vi.spyOn(console, method).mockImplementation((...args) => void printed.push(args));
  });
  afterEach(() => {
    vi.restoreAllMocks();
    expect(printed).toEqual([]);
  });
}
