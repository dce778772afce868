/** The AI SDK's `smoothStream` for durable agents: a recorded turn is not typed out again. */

import { smoothStream as smoothStreamOfSdk } from 'ai';
import type { StreamTextTransform, TextStreamPart, ToolSet } from 'ai';
import { currentFrame } from '../runtime/context.ts';
import type { Frame } from '../runtime/context.ts';

export type SmoothStreamOptions = Parameters<typeof smoothStreamOfSdk>[0];

/**
 * As the AI SDK's `smoothStream`, with the same options, for `experimental_transform` of a DurableAgent. Turns that are
 * answered from the journal pass unchanged and without delay; outside a run it is the SDK's own.
 */
export function smoothStream<TOOLS extends ToolSet>(options: SmoothStreamOptions = {}): StreamTextTransform<TOOLS> {
  const create = smoothStreamOfSdk<TOOLS>(options);
  return (given) => {
    const frame = currentFrame.getStore();
    return frame?.scope.kind === 'agent' ? afterReplay(frame, create(given)) : create(given);
  };
}

/** Passes parts by `smooth` until the first turn that is not recorded begins; recorded turns always come first. */
function afterReplay<TOOLS extends ToolSet>(
  { context, scope }: Frame,
  smooth: TransformStream<TextStreamPart<TOOLS>, TextStreamPart<TOOLS>>,
): TransformStream<TextStreamPart<TOOLS>, TextStreamPart<TOOLS>> {
  const smoothed = smooth.readable.getReader();
  const input = smooth.writable.getWriter();
  let turn = 0;
  let output: Promise<void> | undefined;

  const isReplayed = (part: TextStreamPart<TOOLS>): boolean => {
    if (output !== undefined) return false;
    if (part.type !== 'start-step') return true;
    turn += 1;
    return context.recorded(`${scope.path}/t${turn - 1}`) !== undefined;
  };

  const passOn = async (controller: TransformStreamDefaultController<TextStreamPart<TOOLS>>): Promise<void> => {
    for (let next = await smoothed.read(); !next.done; next = await smoothed.read()) controller.enqueue(next.value);
  };

  return new TransformStream({
    async transform(part, controller) {
      if (isReplayed(part)) {
        controller.enqueue(part);
        return;
      }
      output ??= passOn(controller).catch((error: unknown) => controller.error(error));
      await input.write(part);
    },
    async flush() {
      if (output === undefined) return;
      await input.close();
      await output;
    },
  });
}
