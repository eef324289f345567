/** What no editor should send, and what some do: the answer is right or politely nothing, and the connection lives on. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import fc from 'fast-check'
import { ACTIONS } from '../../server/lsp/code_actions/all.ts'
import { EDITOR_MESSAGES } from '../../server/wire/editor.ts'
import type { FakeOptions } from '../helpers/fake_models.ts'
import { type LspTest, lspServer } from '../helpers/lsp.ts'
import { settled, until } from '../helpers/virtual_time.ts'

const URI = 'file:///code/src/a.ts'
const says = (content: string): FakeOptions => ({ answer: () => ({ deltas: [{ content }] }) })
type Prompted = { prefix: string; suffix: string; prompt: string; path: string }
type Item = { insertText: string; range: { start: Position; end: Position } }
type Position = { line: number; character: number }
type Action = { title: string; kind: string; data?: unknown; edit?: object }

const shown = ({ client }: LspTest): string[] =>
  client.received
    .filter(({ method }) => method === 'window/showMessage')
    .map(({ params }) => (params as { message: string }).message)
const alive = async ({ client }: LspTest): Promise<void> =>
  assert.equal(typeof (await client.request('aiHub/counts', null)), 'object')
const complete = async (server: LspTest, uri: string, line: number, character: number): Promise<Item[]> =>
  (await settled(server.time, server.client.complete(uri, line, character, 1).result)) as Item[]
const prompted = (server: LspTest): Prompted => server.models.generated[0]!.prompt as Prompted
const at = (line: number, character: number, toLine = line, toCharacter = character) => ({
  start: { line, character },
  end: { line: toLine, character: toCharacter },
})
const actions = async (
  { client }: LspTest,
  uri: string,
  range: object,
  diagnostics: object[] = [],
): Promise<Action[]> =>
  (await client.request('textDocument/codeAction', {
    textDocument: { uri },
    range,
    context: { diagnostics, triggerKind: 1 },
  })) as Action[]

test('a minified line of 1 MB: no suggestion in it, actions on it, edits of it', async context => {
  const server = lspServer(context, says('x'))
  await server.client.initialize()
  server.client.open(URI, `${'a=b;'.repeat(250_000)}\nlet c = \n`)
  assert.deepEqual(await complete(server, URI, 0, 500_000), [])
  assert.equal(server.models.generated.length, 0)
  server.client.type(URI, 2, 0, 500_000, 'typed')
  assert.ok(Array.isArray(await actions(server, URI, at(0, 400_000))))
  // The line below is one like any other, and does not drag the long one along.
  assert.equal((await complete(server, URI, 1, 8))[0]?.insertText, 'x')
  assert.ok(prompted(server).prefix.length <= 20_000)
})

test('tabs and the line ends of Windows: positions, what the model reads and what it writes', async context => {
  const server = lspServer(context, says('\n\t\tb()\n\t}'))
  await server.client.initialize()
  server.client.open(URI, 'if (a) {\r\n\tif (c) {\r\n}\r\n')
  const [item] = await complete(server, URI, 1, 9)
  assert.equal(item?.insertText, '\r\n\t\tb()\r\n\t}')
  assert.deepEqual(item?.range, at(1, 9))
  assert.deepEqual([prompted(server).prefix, prompted(server).prompt], ['if (a) {\r\n', '\tif (c) {'])
  // Behind the end of a line is its end, and half of a line end is none.
  await complete(server, URI, 1, 500)
  assert.equal((server.models.generated.at(-1)!.prompt as Prompted).prompt, '\tif (c) {')
})

test('within an emoji nothing is suggested; behind one, and behind combining marks, the range counts UTF-16 units', async context => {
  const server = lspServer(context, says(' vui"'))
  await server.client.initialize()
  const line = 'const s = "tie\u0302\u0301ng 👩‍👩‍👧"'
  server.client.open(URI, `${line}\n`)
  const cursor = line.length - 1
  assert.deepEqual(await complete(server, URI, 0, cursor - 1), [])
  const [item] = await complete(server, URI, 0, cursor)
  assert.deepEqual(item?.range, at(0, cursor, 0, cursor + 1))
  assert.equal(prompted(server).prompt, line.slice(0, -1))
  // Between a letter and its mark the model reads what stands there, and no mark is lost.
  await complete(server, URI, 0, line.indexOf('\u0301'))
  const between = server.models.generated.at(-1)!.prompt as Prompted
  assert.equal(between.prompt + between.suffix, `${line}\n`)
})

const DOCUMENTS: [uri: string, language: string, path: string][] = [
  ['untitled:Untitled-1', 'typescript', 'Untitled-1'],
  ['vscode-notebook-cell:/code/lab/nb.ipynb#W0sZmlsZQ%3D%3D', 'python', 'lab/nb.ipynb'],
  ['vscode-vfs://github/me/repo/src/a.ts', 'typescript', 'a.ts'],
  ['vscode-remote://ssh-remote%2Bbox/home/me/a.go', 'go', 'a.go'],
  ['ssh://box/home/a%20b.rs', 'rust', 'a b.rs'],
  ['file:///code/src/no_language', 'klingon', 'src/no_language'],
  ['file:///code/100%/a.ts', 'typescript', '100%/a.ts'],
]
for (const [uri, language, path] of DOCUMENTS) {
  test(`${uri}: completed, acted on and reviewed, and told to the model as ${path}`, async context => {
    const answer = { findings: [], code: 'let b', names: ['b', 'c'] }
    const server = lspServer(context, {
      answer: ({ format }) => ({ deltas: [{ content: format.type === 'text' ? '1' : JSON.stringify(answer) }] }),
      info: { contextTokens: 20_000 },
    })
    await server.client.initialize({ more: { capabilities: RICH } })
    server.client.open(uri, 'let a = \n', language)
    assert.equal((await complete(server, uri, 0, 8))[0]?.insertText, '1')
    assert.equal(prompted(server).path, path)
    const offered = await actions(server, uri, at(0, 0, 0, 8))
    const simplify = offered.find(({ kind }) => kind.endsWith('simplify'))
    const resolved = (await server.client.request('codeAction/resolve', simplify)) as Action
    assert.match(JSON.stringify(resolved.edit), /"uri":/)
    assert.deepEqual(await server.client.request('aiHub/review', { scope: 'file', uri }), {
      files: 1,
      findings: 0,
      dropped: 0,
    })
    // A file of tests can be made beside a file only.
    assert.equal(offered.some(({ kind }) => kind.endsWith('tests')) && !uri.startsWith('file:'), false)
    assert.deepEqual(shown(server), [])
  })
}
const RICH = {
  workspace: { workspaceFolders: true, workspaceEdit: { documentChanges: true } },
  textDocument: { codeAction: { dataSupport: true, resolveSupport: { properties: ['edit'] } } },
}

test('a workspace on another machine has no git here: the user is told so', async context => {
  const server = lspServer(context)
  await server.client.initialize({ folders: ['vscode-remote://ssh-remote%2Bbox/home/me'] })
  for (const method of ['aiHub/review', 'aiHub/commitMessage', 'aiHub/branchName']) {
    assert.equal(await server.client.request(method, { scope: 'staged' }), null)
  }
  assert.deepEqual(new Set(shown(server)), new Set(['Open a folder of this machine first.']))
})

test('five thousand open documents: each is known, closed ones are forgotten, and what is told to the model stays small', async context => {
  const server = lspServer(context, says('x'))
  await server.client.initialize()
  const uri = (index: number) => `file:///code/src/f${index}.ts`
  for (let index = 0; index < 5000; index++) {
    server.client.open(uri(index), `export function name${index}() {\n  return ${index} + compute(value, other)\n}\n`)
  }
  server.client.open(URI, 'const a = name4999 + \n')
  server.client.notify('aiHub/visited', { uri: URI, line: 0 })
  await server.client.request('aiHub/counts', null)
  await until(server.time, () => server.models.generated.length === 1)
  assert.equal((await complete(server, URI, 0, 21))[0]?.insertText, 'x')
  const { extra } = server.models.generated.at(-1)!.prompt as unknown as { extra: { filename: string; text: string }[] }
  assert.ok(extra.some(({ text }) => text.includes('name4999')))
  assert.ok(extra.reduce((sum, { text }) => sum + text.length, 0) <= 8000)
  for (let index = 0; index < 5000; index++) {
    server.client.notify('textDocument/didClose', { textDocument: { uri: uri(index) } })
  }
  await alive(server)
  assert.deepEqual(await complete(server, uri(7), 0, 3), [])
})

test('changes of documents that are not open, closing twice, opening twice, and places that are not there', async context => {
  const server = lspServer(context, says('x'))
  await server.client.initialize()
  const { client } = server
  client.type('file:///code/gone.ts', 1, 0, 0, 'x')
  client.notify('textDocument/didClose', { textDocument: { uri: 'file:///code/gone.ts' } })
  client.notify('textDocument/didSave', { textDocument: { uri: 'file:///code/gone.ts' } })
  client.open(URI, 'old\n')
  client.open(URI, 'const a = \n')
  client.type(URI, 2, 99, 99, '// end')
  client.type(URI, 3, 0, 999, 'b')
  for (const [line, character] of [
    [99, 0],
    [0, 999],
    [-1, -1],
    [0.5, 2],
    [2 ** 31, 2 ** 31],
  ] as const) {
    assert.ok(Array.isArray(await complete(server, URI, line, character)))
    assert.ok(Array.isArray(await actions(server, URI, at(line, character))))
  }
  assert.equal(prompted(server).prefix + prompted(server).prompt, 'const a = b\n// end')
  await alive(server)
})

test('a diagnostic of a megabyte: a short title, a short prompt', async context => {
  const server = lspServer(context, {
    answer: () => ({ deltas: [{ content: JSON.stringify({ code: 'let b = 2', import: '' }) }] }),
    info: { contextTokens: 20_000 },
  })
  await server.client.initialize({ more: { capabilities: RICH } })
  server.client.open(URI, 'let a = 1\n')
  const diagnostics = [
    { range: at(0, 4, 0, 5), message: `Type '${'{ a: string; '.repeat(80_000)}' is wrong`, source: 'ts', code: 1 },
    { range: at(0, 4, 0, 5), message: { kind: 'markdown', value: '**no**' } },
    { range: at(0, 4, 0, 5), message: 7 },
  ]
  const fixes = (await actions(server, URI, at(0, 4), diagnostics)).filter(({ kind }) => kind.startsWith('quickfix'))
  assert.equal(fixes.length, 3)
  for (const { title } of fixes) assert.ok(title.length < 100, title)
  await server.client.request('codeAction/resolve', fixes[0])
  assert.ok(JSON.stringify(server.models.generated[0]!.prompt).length < 6000)
})

const CRASHED = {
  code: 'worker_crashed' as const,
  message: "The model's process ended. Ask again; it is started anew.",
}

test('the model dies in the middle of an answer: the user is told once for each time they asked, and the next request works', async context => {
  let dies = true
  const good = {
    code: 'let b',
    findings: [{ quote: 'let a = 1', severity: 'error', category: 'bug', reason: 'No good.', replacement: '' }],
  }
  const server = lspServer(context, {
    info: { contextTokens: 20_000 },
    answer({ format }) {
      const content = format.type === 'text' ? 'value' : JSON.stringify(good)
      return dies ? { deltas: [{ content: content.slice(0, 3) }], error: CRASHED } : { deltas: [{ content }] }
    },
  })
  await server.client.initialize({ more: { capabilities: RICH } })
  server.client.open(URI, 'let a = 1\nlet c = \n')
  // While typing it is told a single time: each key would repeat it.
  for (let key = 0; key < 3; key++) {
    assert.deepEqual(await settled(server.time, server.client.complete(URI, 1, 8).result), [])
    await server.time.advance(1000)
  }
  assert.deepEqual(shown(server), [CRASHED.message])
  const simplify = (await actions(server, URI, at(0, 0, 0, 9))).find(({ kind }) => kind.endsWith('simplify'))
  const failed = (await server.client.request('codeAction/resolve', simplify)) as Action
  assert.equal(failed.edit, undefined)
  assert.equal(await server.client.request('aiHub/review', { scope: 'file', uri: URI }), null)
  assert.equal(shown(server).length, 3)
  assert.equal(server.models.held(), 0, 'no model stays held by what failed')
  dies = false
  assert.equal((await complete(server, URI, 1, 8))[0]?.insertText, 'value')
  assert.notEqual(((await server.client.request('codeAction/resolve', simplify)) as Action).edit, undefined)
  assert.deepEqual(await server.client.request('aiHub/review', { scope: 'file', uri: URI }), {
    files: 1,
    findings: 1,
    dropped: 0,
  })
  assert.equal(shown(server).length, 3)
})

// Seeded garbage in the parameters of everything that a client may send.
const REQUESTS = [
  'textDocument/inlineCompletion',
  'textDocument/codeAction',
  'codeAction/resolve',
  'workspace/executeCommand',
  // The other ones are notifications.
  ...Object.values(EDITOR_MESSAGES).filter(
    name => !['aiHub/visited', 'aiHub/accepted', 'aiHub/problem'].includes(name),
  ),
]
const NOTIFICATIONS = [
  'textDocument/didOpen',
  'textDocument/didChange',
  'textDocument/didSave',
  'textDocument/didClose',
  'workspace/didChangeConfiguration',
  'workspace/didChangeWorkspaceFolders',
  'window/workDoneProgress/cancel',
  '$/cancelRequest',
  EDITOR_MESSAGES.visited,
  EDITOR_MESSAGES.accepted,
]
const number = fc.oneof(fc.integer({ min: -2, max: 12 }), fc.constantFrom(0.5, 1e21, -1, null))
const position = fc.oneof(fc.record({ line: number, character: number }), fc.constantFrom(null, 7, 'x', {}))
const range = fc.oneof(fc.record({ start: position, end: position }), fc.constantFrom(null, [], at(0, 0)))
const uri = fc.constantFrom<unknown>(URI, URI, 'file:///code/b.py', 'untitled:1', 'no uri %', '', 7, null)
const scalar = fc.oneof(fc.constantFrom<unknown>(null, true, '', 'x', [], {}, URI), number)
const diagnostic = fc.oneof(fc.record({ range, message: scalar, code: scalar, source: scalar }), scalar)
const chosen = fc.record({
  action: fc.constantFrom('gone', ...ACTIONS.map(({ id }) => id)),
  uri,
  version: fc.constantFrom(1, 2, -1, 'x'),
  range,
  data: fc.oneof(scalar, fc.record({ text: scalar, range }), fc.constant('make it shorter')),
})
const command = fc.constantFrom(
  'aiHub.accepted',
  'aiHub.dismissFinding',
  'aiHub.runAction',
  'aiHub.showMarkdown',
  'toString',
  '',
)
const change = fc.oneof(
  fc.record({ range, text: fc.constantFrom<unknown>('a', '\n', 'é😀', 7, null) }, { requiredKeys: [] }),
  scalar,
)
const params = fc.oneof(
  { weight: 1, arbitrary: scalar },
  {
    weight: 8,
    arbitrary: fc.record(
      {
        textDocument: fc.oneof(
          fc.record(
            { uri, version: number, text: fc.constantFrom<unknown>('let a = 1\n', 7), languageId: scalar },
            { requiredKeys: [] },
          ),
          scalar,
        ),
        position,
        range,
        context: fc.oneof(
          fc.record(
            {
              triggerKind: number,
              diagnostics: fc.oneof(fc.array(diagnostic, { maxLength: 3 }), scalar),
              only: fc.oneof(fc.array(scalar, { maxLength: 2 }), scalar),
              selectedCompletionInfo: fc.oneof(fc.record({ range, text: scalar }), scalar),
            },
            { requiredKeys: [] },
          ),
          scalar,
        ),
        contentChanges: fc.oneof(fc.array(change, { maxLength: 3 }), scalar),
        command,
        arguments: fc.oneof(fc.array(fc.oneof(chosen, scalar, uri), { maxLength: 3 }), scalar),
        title: scalar,
        data: fc.oneof(chosen, scalar),
        scope: fc.constantFrom('selection', 'file', 'staged', 'branch', 7),
        uri,
        id: scalar,
        length: number,
        line: number,
        text: scalar,
        question: scalar,
        instruction: scalar,
        base: scalar,
        workDoneToken: scalar,
        token: scalar,
        settings: fc.oneof(
          fc.record({ aiHub: fc.oneof(fc.record({ completion: scalar, chat: scalar }), scalar) }),
          scalar,
        ),
        event: fc.oneof(fc.record({ added: scalar, removed: scalar }), scalar),
      },
      { requiredKeys: [] },
    ),
  },
)

test('garbage in every request and notification: a result, null or an error of LSP, and the connection lives on', async context => {
  const home = mkdtempSync(join(tmpdir(), 'ai-hub-fuzz-'))
  context.after(() => rmSync(home, { recursive: true, force: true, maxRetries: 5 }))
  const answer = {
    code: 'let b',
    import: '',
    findings: [],
    names: ['b', 'c'],
    translations: ['x'],
    summary: 'S',
    parameters: [],
    returns: '',
  }
  const server = lspServer(context, {
    info: { contextTokens: 4000 },
    answer: ({ format }) => ({ deltas: [{ content: format.type === 'text' ? 'x' : JSON.stringify(answer) }] }),
    deps: { home, wait: async () => {} },
  })
  const { client } = server
  await client.initialize({ more: { capabilities: RICH } })
  client.answers['workspace/applyEdit'] = () => ({ applied: true })
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...REQUESTS, ...NOTIFICATIONS), params, async (method, given) => {
      client.open(URI, 'let a = 1 // Cộng\nfunction f(a) {\n  return 😀\n}\n')
      if (NOTIFICATIONS.includes(method)) client.notify(method, given)
      else {
        // The editor gets an answer, whatever it is.
        await client.request(method, given).catch((thrown: { code?: number }) => {
          // Of the parameters as a whole; what is wrong in them is told to the user, and the editor gets nothing.
          assert.ok(
            thrown.code === -32602 || (thrown.code === -32603 && given === null),
            `${method} ${JSON.stringify(given)}`,
          )
        })
      }
      await alive(server)
    }),
    { seed: 11, numRuns: 1500 },
  )
  client.open(URI, 'let a = \n')
  const items = (await client.complete(URI, 0, 8, 1).result) as Item[]
  assert.equal(items[0]?.insertText, 'x')
})
