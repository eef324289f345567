/** Code actions as an editor meets them: offered without a model, worked out when chosen, applied to the right text. */
import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { pathToFileURL } from 'node:url'
import { TextDocument, type TextEdit } from 'vscode-languageserver-textdocument'
import type { FakeOptions } from '../helpers/fake_models.ts'
import { type LspTest, lspServer } from '../helpers/lsp.ts'

const URI = 'file:///code/src/a.ts'
type Position = { line: number; character: number }
type Range = { start: Position; end: Position }
type Action = {
  title: string
  kind: string
  data?: unknown
  tags?: number[]
  edit?: { documentChanges?: Change[]; changes?: { [uri: string]: TextEdit[] }; changeAnnotations?: unknown }
  command?: { command: string; arguments: unknown[] }
  diagnostics?: unknown[]
}
type Change = {
  kind?: string
  uri?: string
  textDocument?: { uri: string; version: number | null }
  edits?: (TextEdit & { annotationId?: string })[]
}

/** What VS Code's client says it can do. */
const RICH = {
  capabilities: {
    workspace: {
      workspaceFolders: true,
      workspaceEdit: {
        documentChanges: true,
        resourceOperations: ['create', 'rename', 'delete'],
        changeAnnotationSupport: { groupsOnLabel: true },
      },
    },
    textDocument: {
      codeAction: {
        dataSupport: true,
        resolveSupport: { properties: ['edit', 'command'] },
        tagSupport: { valueSet: [1] },
      },
    },
    window: { workDoneProgress: true },
  },
  initializationOptions: { commands: ['aiHub.showMarkdown', 'aiHub.rewrite', 'aiHub.rename'] },
}

type Given = { context: { after(close: () => void): void } } & Omit<FakeOptions, 'answer'> & {
    answers?: unknown[]
    more?: object
    folders?: string[]
  }

async function editor({ context, answers = [], more = RICH, folders, ...options }: Given): Promise<LspTest> {
  let at = 0
  const server = lspServer(context, {
    ...options,
    info: { contextTokens: 20_000 },
    answer: () => ({ deltas: [{ content: JSON.stringify(answers[at++] ?? null) }] }),
  })
  await server.client.initialize({ more: { ...more }, ...(folders !== undefined && { folders }) })
  return server
}

const at = (line: number, character: number, toLine = line, toCharacter = character): Range => ({
  start: { line, character },
  end: { line: toLine, character: toCharacter },
})

async function offered({ client }: LspTest, range: Range, context: object = {}, uri = URI): Promise<Action[]> {
  const params = { textDocument: { uri }, range, context: { diagnostics: [], triggerKind: 1, ...context } }
  return (await client.request('textDocument/codeAction', params)) as Action[]
}

async function chosen(server: LspTest, kind: string, range: Range, context: object = {}, uri = URI): Promise<Action> {
  const action = (await offered(server, range, context, uri)).find(each => each.kind.endsWith(kind))
  assert.ok(action, `${kind} is offered`)
  return (await server.client.request('codeAction/resolve', action)) as Action
}

function apply(text: string, action: Action, uri = URI): string {
  const change = action.edit?.documentChanges?.find(each => each.textDocument?.uri === uri)
  assert.ok(change?.edits, 'the action edits the document')
  return TextDocument.applyEdits(TextDocument.create(uri, '', 0, text), change.edits)
}

const shown = ({ client }: LspTest): string[] =>
  client.received
    .filter(({ method }) => method === 'window/showMessage')
    .map(({ params }) => (params as { message: string }).message)

const DIAGNOSTIC = {
  range: at(1, 9, 1, 17),
  message: "Property 'lenght' does not exist on type 'string'.",
  source: 'ts',
  code: 2551,
}
const TEXT = 'function f(a: string) {\n  return a.lenght\n}\n'

test('actions are offered without asking a model, by kind, and a light bulb shows quick fixes only', async context => {
  const server = await editor({ context })
  server.client.open(URI, `// Adds.\n${TEXT}`)
  const kinds = async (range: Range, more: object = {}) => (await offered(server, range, more)).map(({ kind }) => kind)
  const diagnostics = [{ ...DIAGNOSTIC, range: at(2, 9, 2, 17) }]
  assert.deepEqual(await kinds(at(0, 3, 2, 12), { diagnostics }), [
    'quickfix.aiHub.fix',
    'refactor.aiHub.explain',
    'refactor.aiHub.tests',
    'refactor.rewrite.aiHub.rewrite',
    'refactor.rewrite.aiHub.simplify',
    'refactor.rewrite.aiHub.translate',
  ])
  assert.deepEqual(await kinds(at(2, 12)), [
    'refactor.aiHub.explain',
    'refactor.rewrite.aiHub.document',
    'refactor.aiHub.tests',
    'refactor.rewrite.aiHub.rewrite',
    'refactor.rewrite.aiHub.simplify',
    'refactor.rewrite.aiHub.name',
  ])
  assert.deepEqual(await kinds(at(2, 12), { diagnostics, triggerKind: 2 }), ['quickfix.aiHub.fix'])
  assert.deepEqual(await kinds(at(2, 12), { diagnostics, only: ['quickfix'] }), ['quickfix.aiHub.fix'])
  assert.deepEqual(await kinds(at(2, 12), { only: ['refactor.rewrite.aiHub.simplify'] }), [
    'refactor.rewrite.aiHub.simplify',
  ])
  assert.deepEqual(await kinds(at(2, 12), { only: ['source'] }), [])
  assert.deepEqual(await offered(server, at(0, 0), {}, 'file:///code/unknown.ts'), [])
  assert.equal(server.models.generated.length, 0)
})

test('a quick fix: asked with the diagnostic, edited with a version and to be confirmed, with progress', async context => {
  const server = await editor({ context, answers: [{ code: TEXT.replace('lenght', 'length'), import: '' }] })
  server.client.open(URI, TEXT)
  const [offer] = await offered(server, at(1, 10), { diagnostics: [DIAGNOSTIC] })
  assert.equal(offer?.title, `AI: fix "Property 'lenght' does not exist on type 'string'."`)
  assert.deepEqual(offer?.diagnostics, [DIAGNOSTIC])
  assert.deepEqual(offer?.tags, [1])
  const action = await chosen(server, 'fix', at(1, 10), { diagnostics: [DIAGNOSTIC] })
  assert.equal(apply(TEXT, action), TEXT.replace('lenght', 'length'))
  assert.equal(action.edit?.documentChanges?.[0]?.textDocument?.version, 1)
  assert.deepEqual(action.edit?.changeAnnotations, {
    ai: {
      label: offer?.title,
      needsConfirmation: true,
      description: 'Written by a model. Look at it before you accept it.',
    },
  })
  const { prompt } = server.models.generated[0]!
  assert.match(JSON.stringify(prompt), /ts 2551: Property 'lenght' does not exist/)
  const progress = server.client.received
    .filter(({ method }) => method === '$/progress')
    .map(({ params }) => (params as { value: { kind: string } }).value.kind)
  assert.equal(progress[0], 'begin')
  assert.equal(progress.at(-1), 'end')
})

const replaced: [kind: string, text: string, range: Range, answer: unknown, after: string][] = [
  ['document', TEXT, at(0, 5), { summary: 'Counts', parameters: [], returns: '' }, `/** Counts. */\n${TEXT}`],
  ['simplify', TEXT, at(1, 0, 2, 0), { code: 'return 1' }, 'function f(a: string) {\n  return 1\n}\n'],
  ['rewrite', `// AI: return two\n${TEXT}`, at(0, 0, 3, 1), { code: 'const f = () => 2' }, 'const f = () => 2\n'],
  [
    'translate',
    '// Cộng hai số\nadd()\n',
    at(0, 5),
    { translations: ['Adds two numbers'] },
    '// Adds two numbers\nadd()\n',
  ],
  [
    'simplify',
    'a {\r\n\tone()\r\n\t\ttwo()\r\n}\r\n',
    at(1, 1, 2, 3),
    { code: 'three()\nfour()' },
    'a {\r\n\tthree()\r\n\tfour()\r\n}\r\n',
  ],
  ['simplify', 'f("😀", x) // Tie\u0302\u0301ng\nnext\n', at(0, 4, 0, 9), { code: 'f("😀😀")' }, 'f("😀😀")\nnext\n'],
]
for (const [kind, text, range, answer, after] of replaced) {
  test(`${kind} edits ${JSON.stringify(text.slice(0, 24))} in the right place`, async context => {
    const server = await editor({ context, answers: [answer] })
    server.client.open(URI, text)
    assert.equal(apply(text, await chosen(server, kind, range)), after)
  })
}

test('explain gives Markdown to the command of the client, or to the server where the client has none', async context => {
  const server = await editor({ context, answers: ['It adds.'] })
  server.client.open(URI, TEXT)
  const { command } = await chosen(server, 'explain', at(1, 4))
  assert.deepEqual(command, {
    title: 'Explanation',
    command: 'aiHub.showMarkdown',
    arguments: ['Explanation', '"It adds."'],
  })
  const plain = lspServer(context)
  const { capabilities } = await plain.client.initialize()
  const { commands } = capabilities.executeCommandProvider as { commands: string[] }
  assert.ok(commands.includes('aiHub.showMarkdown'))
  await plain.client.request('workspace/executeCommand', { command: 'aiHub.showMarkdown', arguments: ['A', '**b**'] })
  assert.deepEqual(shown(plain), ['**b**'])
})

test('a name is chosen by a client that can ask, else edited at every place', async context => {
  const text = 'const foo = 1\nprint(foo, "foo")\n'
  const answers = [{ names: ['total', 'sum'] }]
  const rich = await editor({ context, answers })
  rich.client.open(URI, text)
  assert.deepEqual((await chosen(rich, 'name', at(1, 7))).command?.arguments, [
    URI,
    { line: 1, character: 6 },
    ['total', 'sum'],
  ])
  const plain = await editor({ context, answers, more: { ...RICH, initializationOptions: {} } })
  plain.client.open(URI, text)
  assert.equal(apply(text, await chosen(plain, 'name', at(1, 7))), 'const total = 1\nprint(total, "foo")\n')
})

test('rewrite in words: the client asks, and the server sends the edit', async context => {
  const server = await editor({ context, answers: [{ code: '  return 2' }] })
  server.client.open(URI, TEXT)
  const action = (await offered(server, at(1, 3, 1, 5))).find(({ kind }) => kind.endsWith('rewrite'))
  assert.deepEqual(action?.command?.arguments, [URI, at(1, 3, 1, 5)])
  server.client.answers['workspace/applyEdit'] = () => ({ applied: true })
  const request = { uri: URI, range: at(1, 3, 1, 5), instruction: 'return two' }
  assert.deepEqual(await server.client.request('aiHub/rewrite', request), { applied: true })
  const { params } = server.client.received.find(({ method }) => method === 'workspace/applyEdit')!
  assert.equal(apply(TEXT, params as Action), 'function f(a: string) {\n  return 2\n}\n')
})

test('tests are written into a file beside, by the naming of the workspace', async context => {
  const folder = mkdtempSync(join(tmpdir(), 'ai-hub-tests-'))
  context.after(() => rmSync(folder, { recursive: true, force: true }))
  mkdirSync(join(folder, 'src'))
  for (const name of ['a.ts', 'b.ts', 'b.spec.ts']) writeFileSync(join(folder, 'src', name), `// ${name}\n`)
  const root = pathToFileURL(folder).href
  const code = "test('f', () => expect(f('')).toBe(0))"
  const server = await editor({ context, answers: [{ code }, { code }, { code }], folders: [root] })
  const uri = `${root}/src/a.ts`
  server.client.open(uri, TEXT)
  const fresh = await chosen(server, 'tests', at(0, 9), {}, uri)
  const [create, edit] = fresh.edit!.documentChanges!
  assert.equal(create?.kind, 'create')
  assert.equal(create?.uri, `${root}/src/a.spec.ts`)
  assert.deepEqual(edit?.textDocument, { uri: `${root}/src/a.spec.ts`, version: null })
  assert.equal(apply('', fresh, `${root}/src/a.spec.ts`), `${code}\n`)
  assert.match(JSON.stringify(server.models.generated[0]!.prompt), /b\.spec\.ts/)
  // One that is there, and then open, is added to.
  writeFileSync(join(folder, 'src', 'a.spec.ts'), 'old()\n')
  const more = await chosen(server, 'tests', at(0, 9), {}, uri)
  assert.equal(apply('old()\n', more, `${root}/src/a.spec.ts`), `old()\n\n${code}\n`)
  server.client.open(`${root}/src/a.spec.ts`, 'open()\n')
  const open = await chosen(server, 'tests', at(0, 9), {}, uri)
  assert.equal(apply('open()\n', open, `${root}/src/a.spec.ts`), `open()\n\n${code}\n`)
  assert.equal(open.edit?.documentChanges?.[0]?.textDocument?.version, 1)
})

test('a document that changed under the request is not edited, and the user is told', async context => {
  const { promise: opened, resolve: open } = Promise.withResolvers<void>()
  const server = await editor({ context, answers: [{ code: 'return 1' }], gate: () => opened })
  server.client.open(URI, TEXT)
  const [action] = await offered(server, at(1, 3), { only: ['refactor.rewrite.aiHub.simplify'] })
  const resolving = server.client.request('codeAction/resolve', action) as Promise<Action>
  while (server.models.generated.length === 0) await new Promise(resolve => setImmediate(resolve))
  server.client.type(URI, 2, 0, 0, '// new\n')
  // Answered in order, so that the change has arrived.
  await server.client.request('aiHub/counts', null)
  open()
  assert.equal((await resolving).edit, undefined)
  assert.equal(server.models.generated.length, 1)
  // What was offered for the old text is refused before a model is asked.
  assert.equal(((await server.client.request('codeAction/resolve', action)) as Action).edit, undefined)
  assert.equal(server.models.generated.length, 1)
  const message = 'The document changed meanwhile, so nothing was edited. Ask again.'
  assert.deepEqual(shown(server), [message, message])
})

test('cancelling ends the generation; the action comes back as it was, and nobody is bothered', async context => {
  const server = await editor({ context, answers: [{ code: 'return 1' }], gate: () => new Promise(() => {}) })
  server.client.open(URI, TEXT)
  const [action] = await offered(server, at(1, 3), { only: ['refactor.rewrite.aiHub.simplify'] })
  const { result, cancel } = server.client.begin('codeAction/resolve', action)
  while (server.models.generated.length === 0) await new Promise(resolve => setImmediate(resolve))
  cancel()
  assert.deepEqual(await result, action)
  assert.equal(server.models.cancelled(), 1)
  assert.equal(server.models.held(), 0)
  assert.deepEqual(shown(server), [])
})

test('the progress that the server shows can be cancelled as well', async context => {
  const server = await editor({ context, gate: () => new Promise(() => {}) })
  server.client.open(URI, TEXT)
  const [action] = await offered(server, at(1, 3), { only: ['refactor.rewrite.aiHub.simplify'] })
  const resolving = server.client.request('codeAction/resolve', action)
  while (server.models.generated.length === 0) await new Promise(resolve => setImmediate(resolve))
  const created = server.client.received.find(({ method }) => method === 'window/workDoneProgress/create')
  server.client.notify('window/workDoneProgress/cancel', created?.params)
  assert.deepEqual(await resolving, action)
  assert.equal(server.models.cancelled(), 1)
  assert.deepEqual(shown(server), [])
})

test('broken answers and garbage give an action without an edit, never an error', async context => {
  const server = await editor({ context, answers: ['nonsense', 'nonsense'] })
  server.client.open(URI, TEXT)
  const [action] = await offered(server, at(1, 3), { only: ['refactor.rewrite.aiHub.simplify'] })
  assert.equal(((await server.client.request('codeAction/resolve', action)) as Action).edit, undefined)
  for (const data of [undefined, 7, { action: 'gone' }, { ...(action?.data as object), range: 'x' }]) {
    const answer = (await server.client.request('codeAction/resolve', { title: 'x', data })) as Action
    assert.equal(answer.edit, undefined)
  }
  assert.equal(shown(server).length, 5)
})

test('a plain client gets plain edits by a command, and no files made', async context => {
  const server = await editor({ context, answers: [{ code: 'return 1' }, { code: 'x'.repeat(40) }], more: {} })
  server.client.answers['workspace/applyEdit'] = () => ({ applied: true })
  server.client.open(URI, TEXT)
  const [action] = await offered(server, at(1, 3), { only: ['refactor.rewrite.aiHub.simplify'] })
  assert.equal(action?.command?.command, 'aiHub.runAction')
  await server.client.request('workspace/executeCommand', action?.command)
  const { params } = server.client.received.find(({ method }) => method === 'workspace/applyEdit')!
  const { edit } = params as { edit: { changes: { [uri: string]: TextEdit[] } } }
  const text = TextDocument.applyEdits(TextDocument.create(URI, '', 0, TEXT), edit.changes[URI]!)
  assert.equal(text, 'return 1\n')
  const [tests] = await offered(server, at(1, 3), { only: ['refactor.aiHub.tests'] })
  await server.client.request('workspace/executeCommand', tests?.command)
  assert.match(shown(server).at(-1)!, /cannot make files .* Make src\/a\.test\.ts first/)
})

test('titles and prose in Vietnamese for a Vietnamese editor', async context => {
  const server = await editor({ context, answers: ['Giải thích'], more: { ...RICH, locale: 'vi-VN' } })
  server.client.open(URI, TEXT)
  const titles = (await offered(server, at(1, 4))).map(({ title }) => title)
  assert.ok(titles.includes('AI: giải thích') && titles.includes('AI: viết kiểm thử trong a.test.ts'))
  await chosen(server, 'explain', at(1, 4))
  assert.match(JSON.stringify(server.models.generated[0]!.prompt), /Write in Vietnamese/)
})

test('a document of 8 MB, a minified line and an empty file are asked about without harm', async context => {
  const server = await editor({ context })
  server.client.open(URI, `const line = 1 // ${'x'.repeat(60)}\n`.repeat(100_000))
  assert.ok((await offered(server, at(90_000, 7))).length > 0)
  server.client.open('file:///code/min.js', 'a=b;'.repeat(250_000), 'javascript')
  assert.ok(Array.isArray(await offered(server, at(0, 500_000), {}, 'file:///code/min.js')))
  server.client.open('file:///code/empty.ts', '')
  assert.deepEqual(
    (await offered(server, at(0, 0), {}, 'file:///code/empty.ts')).map(({ kind }) => kind),
    ['refactor.aiHub.tests'],
  )
})

test('garbage in any request is answered without an error', async context => {
  const server = await editor({ context })
  server.client.open(URI, TEXT)
  const methods = [
    'textDocument/codeAction',
    'codeAction/resolve',
    'workspace/executeCommand',
    'textDocument/inlineCompletion',
    'aiHub/review',
    'aiHub/commitMessage',
    'aiHub/branchName',
    'aiHub/explainTerminal',
    'aiHub/ask',
    'aiHub/rewrite',
    'aiHub/dismissFinding',
    'aiHub/counts',
  ]
  const far = { start: { line: 9999, character: 9999 }, end: { line: -1, character: 0.5 } }
  const values = [
    {},
    { uri: URI },
    { uri: URI, id: '9' },
    { textDocument: { uri: URI }, range: far, position: far.start, context: { diagnostics: [], triggerKind: 1 } },
    { textDocument: { uri: 'no uri %' }, range: at(0, 0), position: at(0, 0).start, context: { diagnostics: [] } },
    { title: 'x', data: { action: 'fix', uri: URI, version: 1, range: at(0, 0), data: { text: 7 } } },
    { command: 'aiHub.runAction', arguments: [{ action: 'explain' }] },
    { command: 'aiHub.dismissFinding' },
    { command: 'toString' },
    { workspace: 7, text: null, workDoneToken: { a: 1 } },
  ]
  for (const method of methods) {
    for (const value of values) {
      await assert.doesNotReject(server.client.request(method, value), `${method} ${JSON.stringify(value)}`)
    }
  }
})

test('folders and documents are the same however a client spells their URIs', async context => {
  const server = await editor({ context, folders: ['file:///c%3A/my%20work'] })
  const uri = 'file:///C:/my work/src/a.ts'
  server.client.open(uri, TEXT)
  await chosen(server, 'explain', at(1, 4), {}, uri)
  assert.match(JSON.stringify(server.models.generated[0]!.prompt), /File src\/a\.ts/)
})
