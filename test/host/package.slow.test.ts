/** The packaged extension in a real VS Code, from a clean profile with nothing of this repository in reach: it brings the hub, Node and the native files. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { integrityOf, makeArchive, startRegistry } from '../helpers/npm_registry.ts'
import { ROOT } from './bundle.ts'
import { lastFirst, startEditor } from './editor.ts'
import { makeHome, TINY_CHAT } from './home.ts'
import { needHost } from './install.ts'
import { SHOTS, shoot, title, workbench } from './workbench.ts'

const { host, options } = await needHost()
const TARGET = `${process.platform}-${process.arch}`
const isSupported = ['linux-x64', 'darwin-arm64'].includes(TARGET)
const PACKAGE_MS = 240_000
const LOAD_MS = 60_000

/** The packages that are fetched on request, where there are such. */
const hasCuda = TARGET === 'linux-x64'
const CUDA = ['@node-llama-cpp/linux-x64-cuda', '@node-llama-cpp/linux-x64-cuda-ext']

const skip = isSupported ? options : { skip: `there is no package for ${TARGET} that this host could run` }

test('the package is installed, starts its own hub and completes with a model', skip, async context => {
  const closing = lastFirst(context)
  const folder = mkdtempSync(join(tmpdir(), 'vscode-package-'))
  closing.after(() => rmSync(folder, { recursive: true, force: true, maxRetries: 10 }))
  const vsix = join(folder, 'extension.vsix')
  const { stdout } = await promisify(execFile)(
    process.execPath,
    [join(ROOT, 'extension', 'package.ts'), '--target', TARGET, '--out', vsix],
    { cwd: ROOT, timeout: PACKAGE_MS },
  )
  context.diagnostic(stdout.trim())
  assert.ok(existsSync(vsix))

  // A card that is none, and a registry of this machine with libraries that are none.
  const bin = join(folder, 'bin')
  mkdirSync(bin)
  writeFileSync(join(bin, 'nvidia-smi'), '#!/bin/sh\necho "RTX 4060 Ti, 580.95, 8188, 7900"\n', { mode: 0o755 })
  const archives = Object.fromEntries(CUDA.map(name => [`${name}@3.21.1`, cudaArchive(name)]))
  const registry = await startRegistry(closing, archives)
  const packs = CUDA.map(name => ({ name, version: '3.21.1', integrity: integrityOf(archives[`${name}@3.21.1`]!) }))
  const change = (extensionFolder: string): void => {
    const file = join(extensionFolder, 'hub', 'cuda_pack.json')
    const carried = JSON.parse(readFileSync(file, 'utf8')) as { packs: { [variant: string]: object } }
    assert.deepEqual(Object.keys(carried.packs), ['cuda', 'cuda-ext'])
    // VS Code asks a login shell for its PATH.
    writeFileSync(join(extensionFolder, '..', '..', '.profile'), `export PATH="${bin}:$PATH"\n`)
    writeFileSync(file, JSON.stringify({ packs: { cuda: packs[0], 'cuda-ext': packs[1] }, registry: registry.url }))
  }

  const home = makeHome(closing, { realOnly: true })
  const paths = (process.env.PATH ?? '').split(delimiter).filter(path => !path.startsWith(ROOT))
  const editor = await startEditor(closing, {
    host: host!,
    extension: { vsix },
    ...(hasCuda && { change }),
    env: { ...home.env, PATH: paths.join(delimiter) },
    files: { 'sum.py': 'def add(a, b):\n    return a + b\n\n\n' },
  })
  const wb = workbench(editor.page)
  await editor.open()
  await wb.ready(TINY_CHAT)
  // A random model may say nothing worth showing, but it is asked.
  await wb.open('sum.py')
  await editor.page.keyboard.press('Control+End')
  await wb.type('def multiply(')
  const isReady = async (): Promise<boolean> => {
    const { data } = (await home.ask('/v1/models/status')) as { data: { id: string; state: string }[] }
    return data.some(({ id, state }) => id === TINY_CHAT && state === 'ready')
  }
  const end = Date.now() + LOAD_MS
  while (!(await isReady())) {
    assert.ok(Date.now() < end, `the model was not asked for:\n${home.log()}`)
    await editor.page.waitForTimeout(200)
  }
  const answer = await home.ask('/v1/completions', { model: TINY_CHAT, prompt: 'def ', max_tokens: 8 })
  assert.ok((answer as { usage: { completion_tokens: number } }).usage.completion_tokens > 0)
  // The pages that the hub serves are those of the panels.
  await wb.run(title('openChat'))
  await wb.webview().locator('#message').waitFor()
  // Linux tells the program of a process; elsewhere the rest has to do.
  const link = `/proc/${home.record()!.pid}/exe`
  if (existsSync(link)) assert.ok(!realpathSync(link).startsWith(ROOT), `the hub runs on ${realpathSync(link)}`)
  if (hasCuda) {
    // It is looked at once after the start, and said.
    await wb.toast('Models run on the processor, though there is a RTX 4060 Ti').waitFor()
    await wb.run(title('getCuda'))
    const dialog = editor.page.locator('.monaco-dialog-box')
    await dialog.getByText(CUDA[0]!).waitFor()
    assert.match(await dialog.innerText(), /licence MIT/)
    await shoot(editor.page, SHOTS, 'cuda-offer')
    await dialog.locator('.monaco-button', { hasText: 'Fetch' }).click()
    await wb.toast('CUDA does not work here yet').waitFor()
    await shoot(editor.page, SHOTS, 'cuda-fetched')
    const place = join(home.folder, 'native', '3.21.1', ...CUDA[0]!.split('/'), 'bins', 'linux-x64-cuda')
    assert.deepEqual(readdirSync(place), ['libggml-cuda.so'])
  }
  assert.deepEqual([...editor.outside], [])
})

function cudaArchive(name: string): Buffer {
  return makeArchive({
    'package.json': '{}',
    LICENSE: 'MIT',
    [`bins/${name.split('/')[1]}/libggml-cuda.so`]: randomBytes(2 ** 20),
  })
}
