import type { MessagePort } from 'node:worker_threads';
import { MizanError } from '../core/errors.ts';
import type { ThreadError, ThreadMessage } from './thread.ts';

/** A thread's listener: each question is answered by `answer`, or by the error that it threw. */
export function answering<Question extends object>(
  port: MessagePort,
  answer: (question: Question) => unknown,
): (question: Question & { readonly id: number }) => void {
  const send = (message: ThreadMessage): void => port.postMessage(message);
  const reply = async (question: Question & { readonly id: number }): Promise<void> => {
    try {
      send({ id: question.id, result: await answer(question) });
    } catch (error) {
      send({ id: question.id, error: threadError(error) });
    }
  };
  return (question) => void reply(question);
}

function threadError(error: unknown): ThreadError {
  const cause = error instanceof Error ? error.message : String(error);
  if (error instanceof MizanError) {
    const inner = error.cause instanceof Error ? error.cause.message : cause;
    return { code: error.code, message: error.message, param: error.param, cause: inner };
  }
  return { code: 'internal', message: 'The database could not be read.', param: undefined, cause };
}
