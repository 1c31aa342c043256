/** undici's connector alone: the rest of undici takes longer to load than a fifth of all that a start loads. */
declare module 'undici/lib/core/connect.js' {
  export { buildConnector as default } from 'undici';
}
