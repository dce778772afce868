/** Stands for a module that reaches out of the process. */

export async function transfer(amount: number, options: { idempotencyKey: string }): Promise<string> {
  throw new Error(`A test has reached the real bank: transfer ${amount} (${options.idempotencyKey}).`);
}

export async function remind(customer: string): Promise<string> {
  throw new Error(`A test has reached the real ${customer}.`);
}
