/** The model server as a process: `node main.ts [--port 4010] [--pacing 25] [--log requests.jsonl] [--plain]`. */
import { parseArgs } from 'node:util';
import { startModelServer } from './server.ts';

const { values } = parseArgs({
  options: {
    port: { type: 'string', default: '0' },
    pacing: { type: 'string', default: '25' },
    log: { type: 'string' },
    plain: { type: 'boolean', default: false },
  },
});

const server = await startModelServer({
  port: Number(values.port),
  pacingMs: Number(values.pacing),
  plain: values.plain,
  ...(values.log === undefined ? {} : { logFile: values.log }),
});
// The first line is the base URL alone: whoever starts this process reads it.
console.log(server.baseURL);
