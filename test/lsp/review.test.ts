/** Reviews as an editor meets them: findings as diagnostics that follow the text, quick fixes, dismissals, and git. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { pathToFileURL } from 'node:url'
import { TextDocument, type TextEdit } from 'vscode-languageserver-textdocument'
import type { FakeOptions } from '../helpers/fake_models.ts'
import { type LspTest, lspServer } from '../helpers/lsp.ts'

const URI = 'file:///code/a.js'
const TEXT = 'function f(a) {\n  if (a = 1) return eval(a)\n\treturn null // 😀\n}\n'
type Diagnostic = {
  range: { start: { line: number; character: number }; end: { line: number; character: number } }
  severity: number
  source: string
  code: string
  message: string
  data: { id: string }
}
type Context = { after(close: () => void): void }

const finding = (quote: string, more: object = {}) => ({
  quote,
  severity: 'error',
  category: 'bug',
  reason: 'It is wrong.',
  replacement: '',
  ...more,
})
const ASSIGNS = finding('if (a = 1) return eval(a)', { reason: 'Assigns.', replacement: 'if (a === 1) return eval(a)' })
const NULLS = finding('return null // 😀', { severity: 'info', category: 'style' })

/** @param answers the findings of each request to the model in turn; the last again and again */
async function reviewer(
  context: Context,
  answers: unknown[][],
  { home, folders, ...options }: Omit<FakeOptions, 'answer'> & { home?: string; folders?: string[] } = {},
): Promise<LspTest> {
  let at = 0
  const server = lspServer(context, {
    ...options,
    info: { contextTokens: 20_000 },
    answer: () => ({
      deltas: [{ content: JSON.stringify({ findings: answers[Math.min(at++, answers.length - 1)] }) }],
    }),
    ...(home !== undefined && { deps: { home } }),
  })
  await server.client.initialize({
    ...(folders !== undefined && { folders }),
    more: { capabilities: { workspace: { workspaceEdit: { documentChanges: true } } } },
  })
  return server
}

const temporary = (context: Context): string => {
  const folder = mkdtempSync(join(tmpdir(), 'ai-hub-review-'))
  context.after(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }))
  return folder
}

/** What is shown for a document now. */
function diagnostics({ client }: LspTest, uri = URI): Diagnostic[] {
  const published = client.received.filter(
    ({ method, params }) => method === 'textDocument/publishDiagnostics' && (params as { uri: string }).uri === uri,
  )
  return (published.at(-1)?.params as { diagnostics: Diagnostic[] } | undefined)?.diagnostics ?? []
}

const places = (server: LspTest, uri = URI): [code: string, line: number, from: number, to: number][] =>
  diagnostics(server, uri).map(({ code, range: { start, end } }) => [code, start.line, start.character, end.character])

/** Of what the server does by itself. */
async function until(done: () => boolean): Promise<void> {
  for (let turn = 0; !done() && turn < 20_000; turn++) await new Promise(resolve => setImmediate(resolve))
}

const settle = (server: LspTest): Promise<unknown> => server.client.request('aiHub/counts', null)
const review = (server: LspTest, request: object): Promise<unknown> => server.client.request('aiHub/review', request)

async function quickFixes({ client }: LspTest, line: number, more: object = {}, uri = URI) {
  const start = { line, character: 3 }
  const params = { textDocument: { uri }, range: { start, end: start }, context: { diagnostics: [], ...more } }
  const actions = (await client.request('textDocument/codeAction', params)) as {
    title: string
    kind: string
    edit?: { documentChanges: { edits: TextEdit[] }[] }
    command?: { command: string; arguments: unknown[] }
  }[]
  return actions.filter(({ kind }) => kind.startsWith('quickfix'))
}

test('a file: findings as diagnostics with severity, category and reason; what quotes nothing is counted', async context => {
  const server = await reviewer(context, [[ASSIGNS, NULLS, finding('not there')]])
  server.client.open(URI, TEXT, 'javascript')
  const answer = await review(server, { scope: 'file', uri: URI, workDoneToken: 'review-1' })
  assert.deepEqual(answer, { files: 1, findings: 2, dropped: 1 })
  assert.deepEqual(
    diagnostics(server).map(({ data: _, ...rest }) => rest),
    [
      {
        range: { start: { line: 1, character: 2 }, end: { line: 1, character: 27 } },
        severity: 1,
        source: 'ai-review',
        code: 'bug',
        message: 'Assigns.',
      },
      {
        range: { start: { line: 2, character: 1 }, end: { line: 2, character: 18 } },
        severity: 3,
        source: 'ai-review',
        code: 'style',
        message: 'It is wrong.',
      },
    ],
  )
  const progress = server.client.received.filter(({ method }) => method === '$/progress')
  assert.deepEqual(
    progress.map(({ params }) => (params as { token: string; value: { kind: string } }).value.kind),
    ['begin', 'report', 'end'],
  )
  assert.ok(progress.every(({ params }) => (params as { token: string }).token === 'review-1'))
})

test('a selection is judged alone, and leaves what was found elsewhere', async context => {
  const server = await reviewer(context, [[NULLS], [ASSIGNS, NULLS]])
  server.client.open(URI, TEXT, 'javascript')
  await review(server, { scope: 'file', uri: URI })
  const range = { start: { line: 1, character: 0 }, end: { line: 2, character: 0 } }
  assert.deepEqual(await review(server, { scope: 'selection', uri: URI, range }), { files: 1, findings: 1, dropped: 1 })
  assert.deepEqual(
    places(server).map(([code, line]) => [code, line]),
    [
      ['bug', 1],
      ['style', 2],
    ],
  )
})

test('findings follow their lines while the text is edited, and go when their line is', async context => {
  const server = await reviewer(context, [[ASSIGNS, NULLS]])
  server.client.open(URI, TEXT, 'javascript')
  await review(server, { scope: 'file', uri: URI })
  const lines = async () => {
    await settle(server)
    return places(server).map(([, line]) => line)
  }
  let version = 1
  const change = (from: [number, number], to: [number, number], text: string): void => {
    const [start, end] = [from, to].map(([line, character]) => ({ line, character }))
    server.client.notify('textDocument/didChange', {
      textDocument: { uri: URI, version: ++version },
      contentChanges: [{ range: { start, end }, text }],
    })
  }
  change([0, 0], [0, 0], 'one\ntwo\n')
  assert.deepEqual(await lines(), [3, 4])
  // A new line at the end of the finding's line, and at its start.
  change([3, 27], [3, 27], '\nmore')
  assert.deepEqual(await lines(), [3, 5])
  change([3, 0], [3, 0], '\n')
  assert.deepEqual(await lines(), [4, 6])
  change([1, 0], [2, 0], '')
  assert.deepEqual(await lines(), [3, 5])
  change([6, 1], [6, 1], ' // behind')
  assert.deepEqual(await lines(), [3, 5])
  change([3, 8], [3, 8], '=')
  assert.deepEqual(await lines(), [5])
  // Several changes at once, and the whole text.
  server.client.notify('textDocument/didChange', {
    textDocument: { uri: URI, version: ++version },
    contentChanges: [{ text: `\n\n${TEXT}` }],
  })
  assert.deepEqual(await lines(), [4])
  change([3, 0], [5, 0], '')
  assert.deepEqual(await lines(), [])
})

test('the suggested fix is a quick fix of its own, and no model is asked for it', async context => {
  const windows = TEXT.replaceAll('\n', '\r\n')
  for (const text of [TEXT, windows]) {
    const server = await reviewer(context, [[ASSIGNS, NULLS]])
    server.client.open(URI, text, 'javascript')
    await review(server, { scope: 'file', uri: URI })
    const [apply, dismiss, ...rest] = await quickFixes(server, 1)
    assert.equal(apply?.kind, 'quickfix.aiHub.review')
    assert.equal(dismiss?.kind, 'quickfix.aiHub.dismiss')
    assert.deepEqual(rest, [])
    const edits = apply!.edit!.documentChanges[0]!.edits
    assert.equal(
      TextDocument.applyEdits(TextDocument.create(URI, '', 0, text), edits),
      text.replace('a = 1', 'a === 1'),
    )
    assert.deepEqual(
      (await quickFixes(server, 2)).map(({ kind }) => kind),
      ['quickfix.aiHub.dismiss'],
    )
    assert.equal(server.models.generated.length, 1)
  }
})

test('what is dismissed stays away, for another connection as well; the file holds no code', async context => {
  const home = temporary(context)
  const server = await reviewer(context, [[ASSIGNS, NULLS]], { home })
  server.client.open(URI, TEXT, 'javascript')
  await review(server, { scope: 'file', uri: URI })
  const dismiss = (await quickFixes(server, 1)).find(({ kind }) => kind.endsWith('dismiss'))
  await server.client.request('workspace/executeCommand', dismiss?.command)
  assert.deepEqual(
    places(server).map(([code]) => code),
    ['style'],
  )
  const stored = readFileSync(join(home, 'dismissed_findings.json'), 'utf8')
  assert.doesNotMatch(stored, /eval|a\.js/)
  const other = await reviewer(context, [[ASSIGNS, NULLS]], { home })
  // Elsewhere in the file by now.
  other.client.open(URI, `\n${TEXT}`, 'javascript')
  assert.deepEqual(await review(other, { scope: 'file', uri: URI }), { files: 1, findings: 1, dropped: 0 })
  const [{ data } = assert.fail()] = diagnostics(other)
  assert.deepEqual(await other.client.request('aiHub/dismissFinding', { uri: URI, id: data.id }), {})
  assert.deepEqual(places(other), [])
  // A second time, and with garbage: told, no error.
  assert.equal(await other.client.request('aiHub/dismissFinding', { uri: URI, id: data.id }), null)
  assert.equal(await other.client.request('aiHub/dismissFinding', 'x'), null)
})

test('findings are there again for an editor that connects anew, where their lines are by then, and gone with their lines', async context => {
  const home = temporary(context)
  const folder = temporary(context)
  writeFileSync(join(folder, 'a.js'), TEXT)
  writeFileSync(join(folder, 'b.js'), TEXT)
  const root = pathToFileURL(folder).href
  const [a, b, c] = [`${root}/a.js`, `${root}/b.js`, 'file:///elsewhere/c.js']
  const connected = async (): Promise<LspTest> => {
    const server = await reviewer(context, [[ASSIGNS, NULLS]], { home, folders: [root] })
    await settle(server)
    return server
  }
  const first = await connected()
  first.client.open(c, TEXT, 'javascript')
  for (const uri of [a, b, c]) await review(first, { scope: 'file', uri })
  const shown = diagnostics(first, a)
  first.hangUp()

  writeFileSync(join(folder, 'a.js'), `// new\n${TEXT}`)
  writeFileSync(join(folder, 'b.js'), TEXT.replace('a = 1', 'a === 1'))
  const second = await connected()
  await until(() => places(second, b).length > 0)
  assert.deepEqual(
    places(second, a).map(([code, line]) => [code, line]),
    [
      ['bug', 2],
      ['style', 3],
    ],
  )
  const bare = ({ message, severity, source }: Diagnostic) => ({ message, severity, source })
  assert.deepEqual(diagnostics(second, a).map(bare), shown.map(bare))
  assert.deepEqual(
    places(second, b).map(([code]) => code),
    ['style'],
  )
  // A file of no folder is shown when it is opened, and its fix is still known.
  assert.deepEqual(places(second, c), [])
  second.client.open(c, `\n${TEXT}`, 'javascript')
  await settle(second)
  assert.deepEqual(
    places(second, c).map(([code, line]) => [code, line]),
    [
      ['bug', 2],
      ['style', 3],
    ],
  )
  const fixes = await quickFixes(second, 2, {}, c)
  assert.deepEqual(
    fixes.map(({ kind }) => kind),
    ['quickfix.aiHub.review', 'quickfix.aiHub.dismiss'],
  )
  // One is dismissed, the other loses its line.
  await second.client.request('workspace/executeCommand', fixes[1]?.command)
  second.client.type(c, 2, 3, 1, 'x')
  await settle(second)
  assert.deepEqual(places(second, c), [])
  second.hangUp()

  const third = await connected()
  third.client.open(c, `\n${TEXT}`, 'javascript')
  await until(() => places(third, b).length > 0)
  assert.deepEqual(places(third, c), [])
  assert.equal(places(third, a).length, 2)
  // A review that finds nothing forgets them for good.
  const quiet = await reviewer(context, [[]], { home, folders: [root] })
  await until(() => places(quiet, a).length > 0)
  assert.deepEqual(await review(quiet, { scope: 'file', uri: a }), { files: 1, findings: 0, dropped: 0 })
  assert.doesNotMatch(readFileSync(join(home, 'review_findings.json'), 'utf8'), /a\.js/)
  if (process.platform !== 'win32') assert.equal(statSync(join(home, 'review_findings.json')).mode & 0o077, 0)
})

test('neither a keystroke nor an editor that connects writes what is kept; it is written a moment later, if it changed', async context => {
  const home = temporary(context)
  const file = join(home, 'review_findings.json')
  const stamp = (): string => {
    const { ino, mtimeNs } = statSync(file, { bigint: true })
    return `${ino} ${mtimeNs}`
  }
  const first = await reviewer(context, [[ASSIGNS, NULLS]], { home })
  first.client.open(URI, TEXT, 'javascript')
  await review(first, { scope: 'file', uri: URI })
  const reviewed = stamp()
  const second = await reviewer(context, [], { home })
  second.client.open(URI, TEXT, 'javascript')
  await settle(second)
  assert.equal(places(second).length, 2)
  assert.equal(stamp(), reviewed)

  first.client.type(URI, 2, 1, 3, 'x')
  await settle(first)
  assert.equal(places(first).length, 1)
  assert.equal(stamp(), reviewed)
  await first.time.advance(2000)
  assert.notEqual(stamp(), reviewed)
  assert.doesNotMatch(readFileSync(file, 'utf8'), /Assigns/)
})

test('a damaged file of findings, or a home that cannot be written, costs the memory only', async context => {
  const home = temporary(context)
  writeFileSync(join(home, 'review_findings.json'), '{"files": [{"uri": 7}]}')
  for (const folder of [home, join(home, 'gone', 'away')]) {
    const server = await reviewer(context, [[ASSIGNS]], { home: folder })
    server.client.open(URI, TEXT, 'javascript')
    assert.deepEqual(await review(server, { scope: 'file', uri: URI }), { files: 1, findings: 1, dropped: 0 })
    assert.equal(places(server).length, 1)
  }
})

/** A repository whose first commit has a.js and b.py, with a change of a.js and a new c.js staged. */
function repository(context: Context): {
  folder: string
  git(...args: string[]): void
  write(path: string, text: string): void
} {
  const folder = temporary(context)
  const env = {
    ...Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('GIT_'))),
    GIT_CONFIG_GLOBAL: join(folder, 'none'),
  }
  const git = (...args: string[]): void => {
    const who = ['-c', 'user.name=a', '-c', 'user.email=a@example.org', '-c', 'core.autocrlf=false']
    execFileSync('git', [...who, ...args], { cwd: folder, env, stdio: 'pipe' })
  }
  const write = (path: string, text: string): void => {
    mkdirSync(join(folder, path, '..'), { recursive: true })
    writeFileSync(join(folder, path), text)
  }
  git('init', '-q', '-b', 'main')
  write('a.js', 'one()\ntwo()\nthree()\nfour()\n'.repeat(5))
  write('b.py', 'x = 1\n')
  git('add', '.')
  git('commit', '-q', '-m', 'Add a and b')
  write('a.js', `${'one()\ntwo()\nthree()\nfour()\n'.repeat(5)}five(x)\n`)
  write('dir/ü c.js', 'seven(y)\n')
  write('package-lock.json', '{}\n')
  git('add', '.')
  return { folder, git, write }
}

test('what is staged is reviewed file by file, the changed lines alone, and shown where they are now', async context => {
  const { folder, write } = repository(context)
  const server = await reviewer(context, [[finding('five(x)'), finding('one()')], [finding('seven(y)')]])
  // Behind what is staged there is more on disk, and another file is open and edited.
  write('dir/ü c.js', 'six()\nseven(y)\n')
  const root = pathToFileURL(folder).href
  server.client.open(`${root}/a.js`, '\n\nfive(x)\n', 'javascript')
  const answer = await review(server, { scope: 'staged', workspace: folder, workDoneToken: 7 })
  assert.deepEqual(answer, { files: 2, findings: 2, dropped: 1 })
  assert.deepEqual(
    places(server, `${root}/a.js`).map(([, line]) => line),
    [2],
  )
  const other = `${root}/dir/%C3%BC%20c.js`
  assert.deepEqual(
    places(server, other).map(([, line]) => line),
    [1],
  )
  // Opened, they are still there, or gone with their line.
  server.client.open(other, 'zero()\nsix()\nseven(y)\n', 'javascript')
  await settle(server)
  assert.deepEqual(
    places(server, other).map(([, line]) => line),
    [2],
  )
  const reports = server.client.received
    .filter(({ method }) => method === '$/progress')
    .map(({ params }) => (params as { value: { message?: string; percentage?: number } }).value)
    .filter(({ message }) => message !== undefined)
  assert.deepEqual(
    reports.map(({ message, percentage }) => [message, percentage]),
    [
      ['a.js', 0],
      ['dir/ü c.js', 50],
    ],
  )
})

test('of a file that moved only what changed is reviewed; deleted, binary and merely moved ones are left out', async context => {
  const { folder, git, write } = repository(context)
  write('moved.js', `${'same(a, b, c)\n'.repeat(30)}`)
  write('gone.js', 'gone()\n')
  git('add', '.')
  git('commit', '-q', '-m', 'More')
  git('mv', 'moved.js', 'dir/tới đây.js')
  git('mv', 'b.py', 'dir/only moved.py')
  git('rm', '-q', 'gone.js')
  write('dir/tới đây.js', `${'same(a, b, c)\n'.repeat(30)}fresh(z)\n`)
  write('picture.png', 'PNG\0\0\0')
  git('add', '.')
  const server = await reviewer(context, [[finding('fresh(z)'), finding('same(a, b, c)')]])
  const answer = await review(server, { scope: 'staged', workspace: folder })
  assert.deepEqual(answer, { files: 1, findings: 1, dropped: 1 })
  assert.match(JSON.stringify(server.models.generated[0]!.prompt), /tới đây\.js.*\+fresh\(z\)/)
})

test('a repository without a commit: what is staged is reviewed, and a branch is not known', async context => {
  const folder = temporary(context)
  execFileSync('git', ['init', '-q', '-b', 'main'], { cwd: folder, stdio: 'pipe' })
  writeFileSync(join(folder, 'a.js'), 'five(x)\n')
  execFileSync('git', ['add', '.'], { cwd: folder, stdio: 'pipe' })
  const server = await reviewer(context, [[finding('five(x)')]])
  assert.deepEqual(await review(server, { scope: 'staged', workspace: folder }), { files: 1, findings: 1, dropped: 0 })
  assert.equal(await review(server, { scope: 'branch', workspace: folder }), null)
  const told = server.client.received.filter(({ method }) => method === 'window/showMessage')
  assert.match(JSON.stringify(told), /There is no branch 'main'/)
})

test('without git the user is told to install it', async context => {
  const { PATH } = process.env
  const none = temporary(context)
  const server = await reviewer(context, [[]])
  context.after(() => {
    process.env.PATH = PATH
  })
  process.env.PATH = none
  assert.equal(await review(server, { scope: 'staged', workspace: none }), null)
  const told = server.client.received.filter(({ method }) => method === 'window/showMessage')
  assert.match(JSON.stringify(told), /git was not found, .* Install git\./)
})

test('a branch is compared with where it left another', async context => {
  const { folder, git, write } = repository(context)
  git('checkout', '-q', '-b', 'topic')
  git('commit', '-q', '-m', 'Add five')
  git('checkout', '-q', 'main')
  write('b.py', 'x = 2\n')
  git('commit', '-q', '-a', '-m', 'Change b')
  git('checkout', '-q', 'topic')
  const server = await reviewer(context, [[finding('five(x)')], []])
  const request = { scope: 'branch', workspace: pathToFileURL(folder).href, base: 'main' }
  assert.deepEqual(await review(server, request), { files: 2, findings: 1, dropped: 0 })
  assert.deepEqual(await review(server, { ...request, base: undefined }), { files: 2, findings: 0, dropped: 0 })
  const prompts = JSON.stringify(server.models.generated.map(({ prompt }) => prompt))
  assert.doesNotMatch(prompts, /b\.py|package-lock/)
})

test('without a repository, a branch, or anything to review the user is told, and nothing is harmed', async context => {
  const { folder, git } = repository(context)
  git('commit', '-q', '-m', 'All')
  const none = temporary(context)
  const server = await reviewer(context, [[]])
  const requests = [
    { scope: 'staged', workspace: folder },
    { scope: 'branch', workspace: folder, base: 'main' },
    { scope: 'branch', workspace: folder, base: '--output=x' },
    { scope: 'staged', workspace: none },
    { scope: 'staged', workspace: join(none, 'gone') },
    { scope: 'staged', workspace: 'vscode-remote://ssh/home' },
    { scope: 'file', uri: 'file:///gone/away.ts' },
    { scope: 'file' },
    { scope: 'everything' },
    null,
  ]
  for (const request of requests) assert.equal(await server.client.request('aiHub/review', request), null)
  const told = server.client.received.filter(({ method }) => method === 'window/showMessage')
  assert.equal(told.length, requests.length)
  assert.equal(server.models.generated.length, 0)
})

test('a review is cancelled between and within files', async context => {
  const { folder } = repository(context)
  const server = await reviewer(context, [[finding('five(x)')]], { gate: () => new Promise(() => {}) })
  const { result, cancel } = server.client.begin('aiHub/review', { scope: 'staged', workspace: folder })
  while (server.models.generated.length === 0) await new Promise(resolve => setTimeout(resolve, 1))
  cancel()
  assert.equal(await result, null)
  assert.equal(server.models.held(), 0)
  assert.equal(server.models.generated.length, 1)
})

test('a document that changes under its review gets its findings where the lines are by then', async context => {
  const { promise: opened, resolve: open } = Promise.withResolvers<void>()
  const server = await reviewer(context, [[ASSIGNS, NULLS]], { gate: () => opened })
  server.client.open(URI, TEXT, 'javascript')
  const reviewing = review(server, { scope: 'file', uri: URI })
  while (server.models.generated.length === 0) await new Promise(resolve => setImmediate(resolve))
  server.client.type(URI, 2, 0, 0, 'new()\n')
  server.client.type(URI, 3, 3, 1, 'x')
  await settle(server)
  open()
  assert.deepEqual(await reviewing, { files: 1, findings: 1, dropped: 1 })
  assert.deepEqual(
    places(server).map(([code, line]) => [code, line]),
    [['bug', 2]],
  )
})

test('commit message and branch name of what is staged; a terminal, a question', async context => {
  const { folder } = repository(context)
  const answers = [
    { subject: 'Add five and seven', body: '' },
    { kind: 'feature', words: 'five and seven' },
    'Because.',
    'It is so.',
  ]
  let at = 0
  const server = lspServer(context, {
    info: { contextTokens: 20_000 },
    answer: () => {
      const answer = answers[at++]
      return { deltas: [{ content: typeof answer === 'string' ? answer : JSON.stringify(answer) }] }
    },
  })
  await server.client.initialize({ folders: [pathToFileURL(folder).href] })
  assert.deepEqual(await server.client.request('aiHub/commitMessage', {}), { message: 'Add five and seven' })
  assert.match(JSON.stringify(server.models.generated[0]!.prompt), /Add a and b.*\+five\(x\)/)
  assert.deepEqual(await server.client.request('aiHub/branchName', { workspace: folder }), {
    name: 'feature/five-and-seven',
  })
  assert.deepEqual(await server.client.request('aiHub/explainTerminal', { text: 'E: no' }), { markdown: 'Because.' })
  server.client.open(URI, TEXT, 'javascript')
  assert.deepEqual(await server.client.request('aiHub/ask', { uri: URI, question: 'Why?' }), { markdown: 'It is so.' })
  assert.equal(await server.client.request('aiHub/ask', { uri: 'file:///gone.ts', question: 'Why?' }), null)
  assert.equal(await server.client.request('aiHub/explainTerminal', { text: 7 }), null)
})
