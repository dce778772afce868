import { getApp } from '../../../lib/app';

// One route for chat, streams, approvals, hooks and runs.
const handle = (request: Request): Response | Promise<Response> => getApp().fetch(request);

export { handle as GET, handle as POST };
