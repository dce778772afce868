import { describe } from 'vitest';

/** A `describe` that is skipped where something is missing, and says what in its title. */
export function describeUnless(
  missing: string | undefined,
  title: string,
  body: () => void,
  options: { timeout?: number } = {},
): void {
  const isMissing = missing !== undefined;
  describe.skipIf(isMissing)(isMissing ? `${title} (skipped: ${missing})` : title, options, body);
}
