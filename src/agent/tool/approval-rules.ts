/** Who answers an approval, and what an `approvers` function is asked. */

import type { RequestedApproval } from './approval.ts';

/** Whoever answers. */
export interface Person {
  id: string;
  /** As the server's `authorize` said for this request; empty where nobody said. */
  roles: readonly string[];
}

export interface ApprovalAnswer {
  by: Person;
  approval: RequestedApproval;
  /** What the person says. */
  approved: boolean;
  /** Where the answer came in: `api`, `chat`, `link`, `cli`, `code`. */
  from: string;
}
