/** Runs that were open when the server stopped go on as soon as it is back, and not with the first request. */
export async function register(): Promise<void> {
  if (process.env.NEXT_RUNTIME !== 'nodejs') return;
  const { getApp } = await import('./lib/app');
  getApp();
}
