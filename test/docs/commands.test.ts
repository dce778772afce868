import type { Command } from 'commander';
import { expect, it } from 'vitest';
import { createProgram } from '../../src/cli/program.ts';
import type { Terminal } from '../../src/cli/report.ts';
import { page } from './pages.ts';

const { text } = page('docs/cli.md');
const layout: Terminal['layout'] = () => {
  throw new Error('Nothing is printed here.');
};
const program = createProgram({ out: () => {}, err: () => {}, env: {}, user: () => undefined, layout }, '0.0.0');

/** Commands that do something, with their names from the program on: "inspect runs". */
function commands(from: Command, before = ''): Array<{ name: string; command: Command }> {
  return from.commands.flatMap((command) => {
    const name = `${before}${command.name()}`;
    return command.commands.length > 0 ? commands(command, `${name} `) : [{ name, command }];
  });
}

const all = commands(program);
const optionsOf = (command: Command): string[] => command.options.map(({ long }) => long ?? '');

it('docs/cli.md has a row for each command, and no other', () => {
  const table = text.slice(text.indexOf('| command |'), text.indexOf('`--by <name>`'));
  const rows = [...table.matchAll(/^\| `([a-z]+(?: [a-z]+)*)/gm)].map(([, name = '']) => name);
  expect([...new Set(rows)].toSorted()).toEqual(all.map(({ name }) => name).toSorted());
});

it('docs/cli.md tells of each option, and of no other', () => {
  const known = [program, ...all.map(({ command }) => command)].flatMap((command) => optionsOf(command));
  const told = [...text.matchAll(/(?<![\w-])--[a-z]+(?:-[a-z]+)*/g)].map(([name]) => name);
  const unsaid = ['--version'];
  expect([...new Set(told)].toSorted()).toEqual(
    [...new Set(known)].filter((name) => !unsaid.includes(name)).toSorted(),
  );
});

it.each(all.filter(({ name }) => name.startsWith('inspect ')))(
  'docs/cli.md says which filters $name has',
  ({ name, command }) => {
    const filters = optionsOf(command).filter(
      (option) => !['--limit', '--cursor', '--full', '--follow'].includes(option),
    );
    const said = new RegExp(`of \`${name}\`:([^]*?)(?:\\. |\\.\\n)`, 'i').exec(text)?.[1] ?? '';
    const table = text.split('\n').find((line) => line.startsWith(`| \`${name}\``)) ?? '';
    expect(filters.filter((option) => !said.includes(option) && !table.includes(option))).toEqual([]);
  },
);
