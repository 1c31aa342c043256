import type { ChatEvents } from '../core/chat.ts';
import type { AnswerSink } from './call.ts';

/** Is told of every part of a streamed answer, in order and before the caller gets it. It must not throw. */
export type Tap = (events: ChatEvents) => void;

/**
 * The caller's end of an answer, with somebody else following what goes there: the very parts that the caller is sent,
 * of whichever attempts they came. Whether they make a whole answer is known at the end, from the outcome.
 */
export function tapped(sink: AnswerSink, tap: Tap): AnswerSink {
  return {
    begin: (head) => sink.begin(head),
    write(events, drained) {
      tap(events);
      return sink.write(events, drained);
    },
  };
}
