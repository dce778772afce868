/** `everturn/memory`: a store in this process's memory, for tests and for work that need not outlive its process. */

export { memoryStore } from './stores/memory/memory-store.ts';
export type { MemoryStoreOptions } from './stores/memory/memory-store.ts';
