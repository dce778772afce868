/** The keys of tool calls. Pure. */

/** A part of a key that the provider chose: the separators of keys are escaped. */
export function keyPart(text: string): string {
  return text.replaceAll('%', '%25').replaceAll('/', '%2F').replaceAll('#', '%23');
}
