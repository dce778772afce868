/** A timer of a run that its code awaits: recorded when it starts and when it fires, and taken back by a signal. */

import type { Await } from './asks.ts';
import type { Presence } from './presence.ts';
import type { RunCore } from './run-core.ts';

/** Resolves when the timer has fired, in this life of the run or in a former one. */
export function sleepUntil(
  core: RunCore,
  key: string,
  { until, signal }: { until: number | Date; signal?: AbortSignal | undefined },
): Promise<void> {
  const scope = core.scope();
  if (core.isReleased(key)) return Promise.resolve();
  if (core.journal.completion(key) !== undefined)
    return core
      .wait({ scope, state: 'held', arm: abortable((settle) => core.ask(key, settle), signal) })
      .then(() => undefined);
  const started = core.journal.facts(key).find((event) => event.type === 'timer_started');
  const dueAt = started?.dueAt ?? (until instanceof Date ? until.getTime() : core.storeNow() + until);
  return core
    .wait<unknown>({
      scope,
      state: 'held',
      arm: abortable((settle, leaf) => {
        const unask = core.ask(key, settle);
        let disarm = (): void => {};
        let live = true;
        const start = (): void => {
          if (!live) return;
          if (started === undefined) core.record({ type: 'timer_started', key, dueAt });
          leaf.set('waiting');
          disarm = core.timers.at(dueAt, () => {
            leaf.set('busy');
            core.record({ type: 'timer_fired', key });
          });
        };
        if (core.mayStart) start();
        else core.hold(start, started === undefined);
        return () => {
          live = false;
          disarm();
          unask();
        };
      }, signal),
    })
    .then(() => undefined);
}

type Arm = (settle: Await<unknown>, presence: Presence) => () => void;

/** An await that its code takes back. The code does so in answer to what was released, so it does the same on replay. */
function abortable(arm: Arm, signal: AbortSignal | undefined): Arm {
  if (signal === undefined) return arm;
  return (settle, presence) => {
    const takeBack = (): void => {
      disarm();
      settle.reject(signal.reason);
    };
    signal.addEventListener('abort', takeBack, { once: true });
    const left = (): void => signal.removeEventListener('abort', takeBack);
    const disarm = arm(
      {
        resolve: (value) => {
          left();
          settle.resolve(value);
        },
        reject: (error) => {
          left();
          settle.reject(error);
        },
      },
      presence,
    );
    return () => {
      left();
      disarm();
    };
  };
}
