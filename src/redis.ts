/** `everturn/redis`: a store in Redis, over TCP. */

export { redisStore } from './stores/redis/redis-store.ts';
export type { RedisStoreOptions } from './stores/redis/redis-store.ts';
export type { RedisClient } from './stores/redis/tcp-connection.ts';
