/** Writes tests of a piece of code. */
import { posix } from 'node:path'
import * as z from 'zod'
import { type AskModel, type Part, unusable } from './ask.ts'
import { type Code, type Edit, selectedOrBlock, showCode, unfence } from './code.ts'

const Answer = z.object({ code: z.string().describe('The tests, as the content of a file.') })

const CUSTOMS: { [language: string]: string } = {
  python: 'Use pytest.',
  go: 'Use the testing package, table-driven where it helps.',
  rust: 'Write a module of tests: #[cfg(test)] mod tests { use super::*; ... }',
  java: 'Use JUnit 5.',
  csharp: 'Use xUnit.',
  ruby: 'Use RSpec.',
  php: 'Use PHPUnit.',
}

export type TestFile = {
  /** In the workspace, with forward slashes. */
  path: string
  /** What it holds already; undefined for a file that is to be made. */
  text?: string
  /** Another test of the workspace, whose style is followed. */
  example?: string
}

/** @returns the edit of the test file's text @throws HubError unusable_answer */
export async function writeTests(ask: AskModel, code: Code, file: TestFile, signal: AbortSignal): Promise<Edit> {
  const part = selectedOrBlock(code)
  const old = file.text ?? ''
  // In Rust the tests stand at the end of the very file.
  const own = file.path === code.path
  const from = relativeImport(file.path, code.path)
  const style: Part[] =
    old.trim() !== '' && !own
      ? [
          `The test file has this already; write only further tests:\n\`\`\`\n`,
          { text: old.slice(0, 6000), lose: 'end' },
          '\n```\n',
        ]
      : file.example === undefined
        ? []
        : [
            'Another test of this project, for the style:\n```\n',
            { text: file.example.slice(0, 4000), lose: 'end' },
            '\n```\n',
          ]
  return ask.json(
    {
      system: `You write unit tests: the usual case, the edges, the errors. Few, short and complete. ${CUSTOMS[code.language] ?? ''} Answer with JSON: "code" is the content of the test file.`,
      parts: [
        ...showCode(part, 'Code to test'),
        ...style,
        own
          ? ''
          : `The test file is ${file.path}${from === undefined ? '' : `; import what is tested from '${from}'`}.\n`,
      ],
      maxTokens: 1500,
    },
    Answer,
    answer => {
      const eol = (own ? code.text : old).includes('\r\n') ? '\r\n' : '\n'
      const written = unfence(answer.code).replaceAll('\r\n', '\n').trim()
      if (written.length < 20) throw unusable('The model wrote no tests. Ask again, or choose a larger model.')
      const present = own ? code.text : old
      const fresh = withoutRepeated(written, present)
      if (fresh === '') throw unusable('The model wrote only tests that are there already.')
      const gap = present.trim() === '' ? '' : present.endsWith('\n') ? eol : eol + eol
      const end = present.length
      return { start: end, end, text: `${gap}${fresh.replaceAll('\n', eol)}${eol}` }
    },
    signal,
  )
}

/** Without the first lines (imports and the like) that the file has already. */
function withoutRepeated(written: string, present: string): string {
  if (present.trim() === '') return written
  const known = new Set(present.split(/\r?\n/).map(line => line.trim()))
  const lines = written.split('\n')
  let at = 0
  while (at < lines.length && (lines[at]!.trim() === '' || known.has(lines[at]!.trim()))) at++
  return lines.slice(at).join('\n')
}

/** How a JavaScript or TypeScript test names the file. */
function relativeImport(test: string, path: string): string | undefined {
  if (!/\.[mc]?[jt]sx?$/.test(path)) return undefined
  const relative = posix.relative(posix.dirname(test), path)
  return relative.startsWith('.') ? relative : `./${relative}`
}
