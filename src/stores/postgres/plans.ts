/**
 * How the statements within functions are planned: once for each connection, and for what the tables grow to. Else Postgres plans many of them
 * again in each call, which takes longer than executing them, or keeps a plan from when the tables were small, and reading all of one looked cheap.
 */

const SETTINGS = [
  'plan_cache_mode = force_generic_plan',
  'enable_seqscan = off',
  'enable_hashjoin = off',
  'enable_mergejoin = off',
  'jit = off',
];

/** Functions that the store calls. What they call is planned likewise. */
const CALLED = ['start_runs', 'claim_runs', 'commit_runs', 'deliver_all', 'control_run'];

export const PLAN_SETTINGS: string = CALLED.flatMap((name) =>
  SETTINGS.map((setting) => `ALTER FUNCTION @.${name} SET ${setting};`),
).join('\n');
