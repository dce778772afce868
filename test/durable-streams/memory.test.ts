import { memoryStore } from 'everturn/memory';
import { describeConformance } from './conformance.ts';

describeConformance(() => ({ store: memoryStore(), remove: () => undefined }));
