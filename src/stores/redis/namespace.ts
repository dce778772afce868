/** What keys and the channel begin with. */

import { DurableError } from '../../runtime/errors.ts';

export function checkNamespace(namespace: string, what: string): void {
  if (namespace !== '' && !/[{}\s%/]/.test(namespace)) return;
  throw new DurableError(
    'invalid_argument',
    `Cannot make ${what}: the namespace "${namespace}" is empty or has braces, blanks, "%" or "/". Use letters, digits, "-", "_", ":" and ".".`,
    { details: { namespace } },
  );
}
