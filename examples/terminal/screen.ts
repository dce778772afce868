/**
 * The conversation on a terminal. It shows a UI message stream as a chat page does: text appears as it comes, and a
 * `reset-step` takes the unfinished step back. On a terminal its lines are erased; elsewhere (a file, a pipe) nothing can be
 * erased, so a step is printed when it is finished.
 */
import { styleText } from 'node:util';
import type { UIMessageChunk } from 'ai';

type Style = Parameters<typeof styleText>[0];

/** What the screen needs of `process.stdout`. */
export type Output = NodeJS.WriteStream;

/** `text` and `line` (a tool's call or result) come from the stream and are taken back with their step; a note stays. */
type Item =
  | { kind: 'text'; text: string }
  | { kind: 'line'; text: string }
  | { kind: 'note'; text: string; style: Style };

const INDENT = '    ';
const WIDEST = 104;
const TOKEN = /^tk_[0-9a-f]{8}\s*$/;

export class Screen {
  readonly #out: Output;
  readonly #live: boolean;
  /** What was shown since the open step began, in order. */
  #items: Item[] = [];
  #inStep = false;
  /** Lines written since the open step began: what has to be erased to take it back. */
  #rows = 0;
  #column = 0;
  #gap = false;
  /** The beginning of a word whose end has not come. */
  #word = '';

  constructor(out: Output) {
    this.#out = out;
    this.#live = out.isTTY;
  }

  /** The text of the step that is not finished. */
  get openText(): string {
    return this.#items.map((item) => (item.kind === 'text' ? item.text : '')).join('');
  }

  /** A line of its own that stays, whatever is taken back. */
  note(text: string, style: Style = 'reset'): void {
    this.#add({ kind: 'note', text, style });
  }

  /** Shows the next chunk of the run's stream. */
  chunk(chunk: UIMessageChunk): void {
    switch (chunk.type) {
      case 'start-step':
        return this.#beginStep();
      case 'text-delta':
        return this.#addText(chunk.delta);
      case 'text-end':
        return this.#endText();
      case 'tool-input-available':
        return this.#addLine(`→ ${chunk.toolName}(${briefly(chunk.input)})`);
      case 'tool-output-available':
        return this.#addLine(`← ${briefly(chunk.output)}`);
      case 'tool-output-error':
        return this.#addLine(`← failed: ${chunk.errorText}`);
      case 'tool-output-denied':
        return this.#addLine('← denied');
      case 'reset-step':
        return this.#takeBack();
      case 'finish-step':
        return this.#endStep();
      default:
    }
  }

  #beginStep(): void {
    this.#endText();
    this.#inStep = true;
    this.#rows = 0;
    this.#items = [];
  }

  #addText(delta: string): void {
    const last = this.#items.at(-1);
    if (last?.kind === 'text') last.text += delta;
    else this.#items.push({ kind: 'text', text: delta });
    if (this.#live) this.#writeText(delta);
  }

  #addLine(text: string): void {
    this.#add({ kind: 'line', text });
  }

  #add(item: Item): void {
    this.#endText();
    if (this.#inStep) this.#items.push(item);
    if (this.#live || !this.#inStep) this.#print([item]);
  }

  #takeBack(): void {
    this.#endText();
    if (this.#live && this.#rows > 0) {
      const rows = Math.min(this.#rows, (this.#out.rows || 24) - 1);
      this.#out.write(`\u001B[${rows}F\u001B[0J`);
    }
    this.#rows = 0;
    const kept = this.#items.filter((item) => item.kind === 'note');
    this.#items = [];
    this.#print(kept);
  }

  #endStep(): void {
    this.#endText();
    this.#inStep = false;
    const items = this.#items;
    this.#items = [];
    if (!this.#live) this.#print(items);
  }

  #print(items: readonly Item[]): void {
    for (const item of items) {
      if (item.kind === 'note') this.#writeLines(item.text, { indent: '', style: item.style });
      else if (item.kind === 'line') this.#writeLines(item.text, { indent: INDENT, style: 'dim' });
      else this.#writeText(item.text);
      this.#endText();
    }
  }

  #writeLines(text: string, { indent, style }: { indent: string; style: Style }): void {
    const lead = indent + (/^ */.exec(text)?.[0] ?? '');
    for (const line of wrap(text.trimStart(), this.#width() - lead.length)) {
      this.#put(`${lead}${styleText(style, line, { stream: this.#out })}\n`);
    }
  }

  #writeText(text: string): void {
    this.#word += text;
    for (const [word] of this.#word.matchAll(/\S*\s+/g)) this.#writeWord(word);
    this.#word = /\S*$/.exec(this.#word)?.[0] ?? '';
  }

  #writeWord(word: string): void {
    const bare = word.trimEnd();
    if (this.#column > 0 && this.#column + 1 + bare.length > this.#width()) this.#newLine();
    if (this.#column > 0 && this.#gap) this.#put(' ', 1);
    if (this.#column === 0) this.#put(INDENT, INDENT.length);
    this.#put(TOKEN.test(word) ? styleText('dim', bare, { stream: this.#out }) : bare, bare.length);
    this.#gap = bare !== word;
    if (word.includes('\n')) this.#newLine();
  }

  #endText(): void {
    if (this.#word !== '') this.#writeWord(this.#word);
    this.#word = '';
    if (this.#column > 0) this.#newLine();
  }

  #newLine(): void {
    this.#put('\n');
  }

  #put(text: string, columns = 0): void {
    this.#out.write(text);
    this.#column += columns;
    if (!text.endsWith('\n')) return;
    this.#rows += 1;
    this.#column = 0;
  }

  #width(): number {
    return Math.min(this.#out.columns || WIDEST, WIDEST) - 1;
  }
}

/** A value on one line, cut where it gets long. */
function briefly(value: unknown): string {
  const text = JSON.stringify(value) ?? '';
  return text.length > 72 ? `${text.slice(0, 71)}…` : text;
}

function wrap(text: string, width: number): string[] {
  const lines: string[] = [''];
  for (const word of text.split(' ')) {
    const last = lines.at(-1) ?? '';
    if (last !== '' && last.length + 1 + word.length > width) lines.push(word);
    else lines[lines.length - 1] = last === '' ? word : `${last} ${word}`;
  }
  return lines;
}
