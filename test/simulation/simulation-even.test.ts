import { describe } from 'vitest';
import { simulateSeeds } from './seeds.ts';

describe('the runtime, with processes that die and stall and a network that loses, delays and repeats', () => {
  simulateSeeds({ first: 0, of: 2 });
});
