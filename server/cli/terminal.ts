/** Plain terminal output: colours only where a person looks, aligned tables, sizes that can be read. */
import { styleText } from 'node:util'

/** Where a command writes. `colour` is true on a terminal that wants colours, never in a pipe or a file. */
export type Terminal = { write(text: string): void; colour: boolean }

type Style = 'bold' | 'dim' | 'red' | 'yellow' | 'green' | 'cyan'

/** The terminal of a stream; NO_COLOR and FORCE_COLOR are honoured as Node honours them. */
export function terminalOf(stream: NodeJS.WriteStream): Terminal {
  return { write: text => void stream.write(text), colour: styleText('bold', 'x', { stream }) !== 'x' }
}

export function paint(terminal: Terminal, style: Style, text: string): string {
  return terminal.colour ? styleText(style, text, { validateStream: false }) : text
}

/** Rows as left-aligned columns two spaces apart, the first row being the heading; columns named in `right` are right-aligned. */
export function formatTable(rows: readonly (readonly string[])[], right: readonly number[] = []): string[] {
  const widths: number[] = []
  for (const row of rows) {
    for (const [column, cell] of row.entries()) widths[column] = Math.max(widths[column] ?? 0, cell.length)
  }
  return rows.map(row =>
    row
      .map((cell, column) =>
        right.includes(column) ? cell.padStart(widths[column] ?? 0) : cell.padEnd(widths[column] ?? 0),
      )
      .join('  ')
      .trimEnd(),
  )
}

/** `3.2 GiB`; three significant digits, powers of 1024. */
export function formatBytes(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
  let value = bytes
  let unit = 0
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024
    unit++
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`
}

/** Control characters of a model's answer could move the cursor or rename the window; only line ends and tabs are let through. */
export function printable(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is taken out
  return text.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, '')
}
