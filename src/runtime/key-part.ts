/** A part of a key that somebody else chose (a user's name, a provider's id): the separators of keys are escaped. */
export function keyPart(text: string): string {
  return text.replaceAll('%', '%25').replaceAll('/', '%2F').replaceAll('#', '%23');
}

export function fromKeyPart(part: string): string {
  return part.replaceAll('%23', '#').replaceAll('%2F', '/').replaceAll('%25', '%');
}
