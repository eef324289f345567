/** Writes tests of the selection, or the block at the cursor, into the file that the workspace keeps its tests in. */
import { posix } from 'node:path'
import { TextDocument } from 'vscode-languageserver-textdocument'
import { isTestPath, testPathOf } from '../../assistant/test_path.ts'
import { writeTests } from '../../assistant/write_tests.ts'
import { HubError } from '../../lib/error.ts'
import { say } from '../texts.ts'
import { type Action, inDocument } from './action.ts'

export const testsAction: Action = {
  id: 'tests',
  kind: 'refactor.aiHub.tests',
  offers({ document, code, locale, open }) {
    if (!document.uri.startsWith('file:')) return []
    const path = testPathOf(code.path, open())
    return path === undefined ? [] : [{ title: say(locale, 'tests', posix.basename(path)) }]
  },
  async resolve({ document, code }, _, { ask, files, read, uriOf }, signal) {
    const known = await files()
    const path = testPathOf(code.path, known)
    if (path === undefined) throw new HubError('invalid_request', `It is not known where tests of ${code.path} belong.`)
    if (path === code.path) return inDocument(document, [await writeTests(ask, code, { path }, signal)])
    const present = await read(path)
    const example = present === undefined ? await exampleOf(path, known, read) : undefined
    const file = {
      path,
      ...(present !== undefined && { text: present.text }),
      ...(example !== undefined && { example }),
    }
    const edit = await writeTests(ask, code, file, signal)
    const { uri, text, version } = present ?? { uri: uriOf(path), text: '', version: null }
    const position = TextDocument.create(uri, document.languageId, 0, text).positionAt(edit.start)
    const edits = [{ range: { start: position, end: position }, newText: edit.text }]
    return { edits: [{ uri, version, edits, ...(present === undefined && { create: true as const }) }] }
  },
}

/** Another test of the same kind, the nearest by its folder. */
async function exampleOf(
  path: string,
  files: readonly string[],
  read: (path: string) => Promise<{ text: string } | undefined>,
): Promise<string | undefined> {
  const shared = (other: string): number => {
    let length = 0
    while (length < other.length && other[length] === path[length]) length++
    return length
  }
  const [nearest] = files
    .filter(file => isTestPath(file) && posix.extname(file) === posix.extname(path))
    .sort((a, b) => shared(b) - shared(a))
  return nearest === undefined ? undefined : (await read(nearest))?.text
}
