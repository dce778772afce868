/** `everturn/upstash`: a store in Redis at Upstash, over REST. */

export { upstashStore } from './stores/redis/upstash-store.ts';
export type { UpstashStoreOptions } from './stores/redis/upstash-store.ts';
