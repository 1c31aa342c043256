import { defineConfig } from 'oxlint';
import { boundaryRules } from './boundaries.ts';

export default defineConfig({
  plugins: ['eslint', 'typescript', 'unicorn', 'oxc', 'import', 'node', 'vitest'],
  options: { typeAware: true, reportUnusedDisableDirectives: 'error' },
  categories: { correctness: 'error', suspicious: 'error' },
  ignorePatterns: ['dist', 'data', 'coverage', 'bench/.cache'],
  rules: {
    'import/no-cycle': 'error',
    'import/no-default-export': 'error',
    'oxc/no-accumulating-spread': 'error',
    'typescript/consistent-type-imports': 'error',
    'typescript/no-explicit-any': 'error',
    'typescript/no-misused-promises': 'error',
    'typescript/no-non-null-assertion': 'error',
    'typescript/no-require-imports': 'error',
    'typescript/only-throw-error': 'error',
    'typescript/prefer-promise-reject-errors': 'error',
    'typescript/return-await': 'error',
    'typescript/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
    'unicorn/prefer-array-find': 'error',
    'unicorn/prefer-array-flat-map': 'error',
    'unicorn/prefer-node-protocol': 'error',
    eqeqeq: 'error',
    'max-lines': ['error', { max: 400, skipBlankLines: true, skipComments: true }],
    'max-params': ['error', { max: 4 }],
    'no-var': 'error',
    'prefer-const': 'error',

    // `unknown` is narrowed by a check and then named by `as`: the check is what counts.
    'typescript/no-unsafe-type-assertion': 'off',
    // TypeScript's noImplicitReturns knows which switches are exhaustive.
    'typescript/consistent-return': 'off',
    // `fc.array` says more than `array`.
    'import/no-named-as-default-member': 'off',
    // A helper stands where it is read.
    'unicorn/consistent-function-scoping': 'off',
    // It is about windows; threads and ports have no origin.
    'unicorn/require-post-message-target-origin': 'off',
    // Node's own internals are called so.
    'no-underscore-dangle': 'off',
  },
  overrides: [
    ...boundaryRules(),
    { files: ['src/**/*.ts'], rules: { 'no-console': 'error' } },
    { files: ['src/cli/**/*.ts'], rules: { 'no-console': 'off' } },
    { files: ['*.config.ts'], rules: { 'import/no-default-export': 'off' } },
    {
      files: ['**/*.test.ts', '**/*.suite.ts', 'test/**/*.ts'],
      rules: { 'typescript/no-non-null-assertion': 'off', 'typescript/unbound-method': 'off' },
    },
  ],
});
