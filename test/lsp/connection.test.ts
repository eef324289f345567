/** The language server over scripted models: what an editor asks, and what it gets. */
import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { pathToFileURL } from 'node:url'
import { HubError } from '../../server/lib/error.ts'
import { lspServer } from '../helpers/lsp.ts'
import { settled, until } from '../helpers/virtual_time.ts'

const URI = 'file:///code/src/a.ts'
const says = (content: string) => ({ answer: () => ({ deltas: [{ content }] }) })

test('a suggestion with its range and the command that tells when it was taken', async context => {
  const { client, models, time } = lspServer(context, says('a + b)\n'))
  const { capabilities } = await client.initialize()
  assert.equal(capabilities.inlineCompletionProvider, true)
  client.open(URI, 'const sum = add()\n')
  const { result } = client.complete(URI, 0, 16)
  assert.deepEqual(await settled(time, result), [
    {
      insertText: 'a + b)',
      range: { start: { line: 0, character: 16 }, end: { line: 0, character: 17 } },
      command: { title: '', command: 'aiHub.accepted', arguments: [1] },
    },
  ])
  const [request] = models.generated
  assert.deepEqual(request?.prompt, {
    type: 'infill',
    prefix: '',
    suffix: ')\n',
    prompt: 'const sum = add(',
    extra: [],
    path: 'src/a.ts',
  })
  await client.request('workspace/executeCommand', { command: 'aiHub.accepted', arguments: [1] })
  const counts = (await client.request('aiHub/counts', null)) as { accepted: number }
  assert.equal(counts.accepted, 1)
})

test('beside an open list the suggestion stands for the selected item and what follows it', async context => {
  const { client, models, time } = lspServer(context, says('.log(sum)\n'))
  await client.initialize()
  client.open(URI, 'const sum = 1\ncons\n')
  const range = { start: { line: 1, character: 0 }, end: { line: 1, character: 4 } }
  const ask = (selected: typeof range) =>
    client.request('textDocument/inlineCompletion', {
      textDocument: { uri: URI },
      position: { line: 1, character: 4 },
      context: { triggerKind: 2, selectedCompletionInfo: { range: selected, text: 'console' } },
    })
  assert.deepEqual(await settled(time, ask(range)), [
    { insertText: 'console.log(sum)', range, command: { title: '', command: 'aiHub.accepted', arguments: [1] } },
  ])
  assert.equal((models.generated[0]!.prompt as { prompt: string }).prompt, 'console')
  const elsewhere = { start: { line: 0, character: 0 }, end: { line: 0, character: 5 } }
  assert.deepEqual(await settled(time, ask(elsewhere)), [])
})

test('positions are UTF-16 units, behind emoji and combining marks as well', async context => {
  const { client, models, time } = lspServer(context, says('x'))
  await client.initialize()
  const line = 'const s = "😀 Tie\u0302\u0301ng '
  client.open(URI, `${line}\n`)
  const { result } = client.complete(URI, 0, line.length)
  await settled(time, result)
  assert.equal((models.generated[0]!.prompt as { prompt: string }).prompt, line)
})

test('typing goes on with the same generation, and the cancelled request gets nothing', async context => {
  const gate = { open: () => {} }
  const { client, models, time } = lspServer(context, {
    ...says('compute()\n'),
    gate: () =>
      new Promise(resolve => {
        gate.open = resolve
      }),
  })
  await client.initialize({ settings: { completion: { ahead: false } } })
  await client.request('aiHub/counts', null)
  client.open(URI, 'const a = \n')
  const first = client.complete(URI, 0, 10)
  await until(time, () => models.generated.length === 1)
  first.cancel()
  client.type(URI, 2, 0, 10, 'c')
  const second = client.complete(URI, 0, 11)
  const opening = setInterval(() => gate.open(), 1)
  context.after(() => clearInterval(opening))
  const items = (await second.result) as { insertText: string }[]
  assert.equal(items[0]?.insertText, 'ompute()')
  assert.deepEqual(await first.result.catch(() => []), [])
  assert.equal(models.generated.length, 1)
})

test('languages that are switched off, and what is asked for there all the same', async context => {
  const { client, models, time } = lspServer(context, says('and so on'))
  await client.initialize({ settings: { completion: { disabledLanguages: ['markdown'], maxTokens: 'many' } } })
  await client.request('aiHub/counts', null)
  client.open('file:///code/a.md', 'This is \n', 'markdown')
  assert.deepEqual(await client.complete('file:///code/a.md', 0, 8).result, [])
  assert.equal(models.generated.length, 0)
  const invoked = client.complete('file:///code/a.md', 0, 8, 1)
  assert.equal(((await settled(time, invoked.result)) as unknown[]).length, 1)
})

test('a missing model is told once, and the editor never gets an error', async context => {
  const { client, time } = lspServer(context, {
    acquireError: new HubError('model_not_found', "There is no model 'gone'."),
  })
  await client.initialize()
  client.open(URI, 'const a = \n')
  for (let index = 0; index < 3; index++) {
    const { result } = client.complete(URI, 0, 10)
    assert.deepEqual(await settled(time, result), [])
  }
  const shown = client.received.filter(({ method }) => method === 'window/showMessage')
  assert.equal(shown.length, 1)
  assert.match(JSON.stringify(shown[0]), /no model 'gone'/)
})

test('a client that shows problems itself gets them with their code instead of a message', async context => {
  const { client, time } = lspServer(context, {
    acquireError: new HubError('insufficient_memory', 'the model big needs about 9.0 GiB'),
  })
  await client.initialize({ more: { initializationOptions: { problems: true } } })
  client.open(URI, 'const a = \n')
  assert.deepEqual(await settled(time, client.complete(URI, 0, 10).result), [])
  const told = client.received.filter(({ method }) => method === 'aiHub/problem').map(({ params }) => params)
  assert.deepEqual(told, [{ code: 'insufficient_memory', message: 'the model big needs about 9.0 GiB' }])
  assert.ok(!client.received.some(({ method }) => method === 'window/showMessage'))
})

test('what cannot be completed gives nothing: unknown documents, binary, long lines, places outside', async context => {
  const { client, models } = lspServer(context, says('x'))
  await client.initialize()
  assert.deepEqual(await client.complete('file:///code/unknown.ts', 0, 0).result, [])
  client.open('file:///code/b.bin', 'PNG\0\0\0abc\n')
  assert.deepEqual(await client.complete('file:///code/b.bin', 0, 8).result, [])
  client.open('file:///code/min.js', `${'a,'.repeat(500_000)}\n`)
  assert.deepEqual(await client.complete('file:///code/min.js', 0, 1_000_000).result, [])
  assert.equal(models.generated.length, 0)
})

test('a document of 50 MB is edited and completed like any other', async context => {
  const { client, models, time } = lspServer(context, says('done\n'))
  await client.initialize()
  const line = `${'x'.repeat(79)}\n`
  client.open(URI, line.repeat(625_000))
  client.type(URI, 2, 624_999, 0, 'const a = ')
  client.type(URI, 3, 624_999, 10, '\n')
  const { result } = client.complete(URI, 624_999, 10)
  await settled(time, result)
  const prompt = models.generated[0]?.prompt as { prefix: string; prompt: string }
  assert.equal(prompt.prompt, 'const a = ')
  assert.ok(prompt.prefix.length <= 20_000)
})

test('outcomes are kept only with consent', async context => {
  const { client, collected, time } = lspServer(context, says('one()\n'))
  await client.initialize({ settings: { training: { collectCompletions: true } } })
  await client.request('aiHub/counts', null)
  client.open(URI, 'const a = \n')
  const { result } = client.complete(URI, 0, 10)
  const [item] = (await settled(time, result)) as { command: { arguments: [number] } }[]
  client.notify('aiHub/accepted', { id: item!.command.arguments[0] })
  await until(time, () => collected.length === 1)
  assert.equal((collected[0] as { type: string }).type, 'accepted')
})

test('what became of a suggestion is counted without consent, and nothing of its text', async context => {
  const { client, collected, counted, time } = lspServer(context, says('one()\n'))
  await client.initialize({ settings: { completion: { model: 'fake' } } })
  await client.request('aiHub/counts', null)
  client.open(URI, 'const a = \n')
  const { result } = client.complete(URI, 0, 10)
  const [item] = (await settled(time, result)) as { command: { arguments: [number] } }[]
  client.notify('aiHub/accepted', { id: item!.command.arguments[0] })
  await until(time, () => counted.length === 1)
  assert.deepEqual(counted, [['fake', 'accepted']])
  assert.deepEqual(collected, [])
})

test('an editor that knows of one folder only, and of no changes to it, is served as well', async context => {
  const { client, models, time } = lspServer(context, says('b()\n'))
  await client.initialize({ more: { capabilities: {}, workspaceFolders: undefined, rootUri: 'file:///code' } })
  client.open(URI, 'const a = \n')
  await settled(time, client.complete(URI, 0, 10).result)
  assert.equal((models.generated[0]!.prompt as { path: string }).path, 'src/a.ts')
})

test('garbage ends neither the connection nor the server', async context => {
  const { client } = lspServer(context)
  await client.initialize()
  await assert.rejects(client.request('aiHub/nothing', {}), /Unhandled method/)
  client.notify('aiHub/visited', { uri: 7 })
  client.notify('aiHub/accepted', 'x')
  client.notify('textDocument/didChange', { textDocument: { uri: 'file:///nope', version: 3 }, contentChanges: [] })
  assert.equal(typeof (await client.request('aiHub/counts', null)), 'object')
})

test('the end of a connection stops what it began', async context => {
  const { client, models, time, hangUp } = lspServer(context, {
    ...says('x'),
    gate: () => new Promise(() => {}),
  })
  await client.initialize()
  client.open(URI, 'const a = \n')
  client.complete(URI, 0, 10).result.catch(() => {})
  await until(time, () => models.held() === 1)
  hangUp()
  await until(time, () => models.held() === 0)
})

test('declarations of files that nobody opened are told to the model after a rest; what git ignores is not', async context => {
  const folder = mkdtempSync(join(tmpdir(), 'ai-hub-index-'))
  context.after(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }))
  mkdirSync(join(folder, 'src'))
  mkdirSync(join(folder, 'secret'))
  writeFileSync(join(folder, '.gitignore'), 'secret/\n*.gen.ts\n')
  writeFileSync(
    join(folder, 'src', 'price.ts'),
    '/** In cents. */\nexport function priceOf(item: string): number {\n  return 1\n}\n',
  )
  writeFileSync(join(folder, 'src', 'a.gen.ts'), 'export function generatedThing(): void {}\n')
  writeFileSync(join(folder, 'secret', 'b.ts'), 'export function hiddenThing(): void {}\n')
  const root = pathToFileURL(folder).href
  const { client, models, time } = lspServer(context, says('x)\n'))
  await client.initialize({ folders: [root] })
  const uri = `${root}/src/main.ts`
  client.open(uri, "import { priceOf } from './price.ts'\ngeneratedThing()\nhiddenThing()\nconst a = priceOf(\n")
  // The model reads it ahead, as soon as the files were read.
  for (let turn = 0; turn < 1000 && models.generated.length === 0; turn++) {
    client.notify('aiHub/visited', { uri, line: 3 })
    await time.advance(3000)
    await new Promise(resolve => setTimeout(resolve, 1))
  }
  const expected = [
    { filename: 'src/price.ts', text: '/** In cents. */\nexport function priceOf(item: string): number\n' },
  ]
  const { extra, prompt } = models.generated[0]!.prompt as { extra: unknown; prompt: string }
  assert.deepEqual([extra, models.generated[0]!.maxTokens], [expected, 1], prompt)
  await settled(time, client.complete(uri, 3, 18).result)
  assert.deepEqual((models.generated[1]!.prompt as { extra: unknown }).extra, expected)
})

/** A workspace folder with these files; gone when the test ends. */
function workspace(context: { after(close: () => void): void }, files: { [name: string]: string }): string {
  const folder = mkdtempSync(join(tmpdir(), 'ai-hub-index-'))
  context.after(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }))
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text)
  return pathToFileURL(folder).href
}

test('a file that was found as a like one is not told of itself when it is opened, however its URI is spelled', async context => {
  const totals =
    'export function totalOf(prices: number[], discount: number): number {\n  return prices.length - discount\n}\n'
  const root = workspace(context, { 'all totals.ts': totals })
  const { client, models, time } = lspServer(context, says('x\n'))
  await client.initialize({ folders: [root] })
  const main = `${root}/main.ts`
  client.open(
    main,
    'function count(prices: number[], discount: number): number {\n  return prices.length + discount\n}\nlet a = \n',
  )
  for (let turn = 0; turn < 1000 && models.generated.length === 0; turn++) {
    client.notify('aiHub/visited', { uri: main, line: 3 })
    await time.advance(3000)
    await new Promise(resolve => setTimeout(resolve, 1))
  }
  const extra = () => (models.generated.at(-1)!.prompt as { extra: { filename: string }[] }).extra
  assert.deepEqual(
    extra().map(({ filename }) => filename),
    ['all totals.ts'],
  )
  const found = `${root}/all%20totals.ts`
  client.open(found, `${totals}let b = \n`)
  await settled(time, client.complete(found, 3, 8).result)
  assert.deepEqual(extra(), [])
})

test('a closed document that is no file of the workspace is known no more', async context => {
  const root = workspace(context, {})
  const { client, models, time } = lspServer(context, says('x)\n'))
  await client.initialize({ folders: [root] })
  const [main, other] = [`${root}/main.ts`, 'file:///elsewhere/price.ts']
  client.open(main, "import { priceOf } from './price.ts'\nconst a = priceOf(\n")
  client.open(other, '/** In cents. */\nexport function priceOf(item: string): number {\n  return 1\n}\n')
  client.notify('textDocument/didClose', { textDocument: { uri: other } })
  client.notify('aiHub/visited', { uri: main, line: 1 })
  await client.request('aiHub/counts', null)
  await time.advance(3000)
  await settled(time, client.complete(main, 1, 18).result)
  assert.deepEqual((models.generated.at(-1)!.prompt as { extra: unknown }).extra, [])
})
