/** What `import … from 'mizan/security'` has. */
export { MizanError } from '../core/errors.ts';
export { AISecurity } from './ai-security.ts';
export type { AISecurityOptions, JsonValue, MessageKeyRing, MessageOptions } from './ai-security.ts';
export type { MessageAlgorithm, MessageJwk, MessageKey } from './message-key.ts';
