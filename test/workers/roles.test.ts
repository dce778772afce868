import { it } from 'vitest';
import { describeOnStores } from '../support/store-places.ts';
import { checkRoles } from './roles.ts';

describeOnStores('a run that one process starts, another works on, a third reads and a fourth approves', (open) => {
  it('has one effect and one end, and its stopped holder writes nothing more', async () => {
    const place = await open();
    try {
      await checkRoles(place.store);
    } finally {
      await place.remove();
    }
  }, 60_000);
});
