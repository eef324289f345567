/** The packaged extension in a real VS Code, from a clean profile with nothing of this repository in reach: it brings the hub, Node and the native files. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { existsSync, mkdtempSync, realpathSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { ROOT } from './bundle.ts'
import { lastFirst, startEditor } from './editor.ts'
import { makeHome, TINY_CHAT } from './home.ts'
import { needHost } from './install.ts'
import { workbench } from './workbench.ts'

const { host, options } = await needHost()
const TARGET = `${process.platform}-${process.arch}`
const isSupported = ['linux-x64', 'darwin-arm64'].includes(TARGET)
const PACKAGE_MS = 240_000
const LOAD_MS = 60_000

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

  const home = makeHome(closing, { realOnly: true })
  const paths = (process.env.PATH ?? '').split(delimiter).filter(path => !path.startsWith(ROOT))
  const editor = await startEditor(closing, {
    host: host!,
    extension: { vsix },
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
  // Linux tells the program of a process; elsewhere the rest has to do.
  const link = `/proc/${home.record()!.pid}/exe`
  if (existsSync(link)) assert.ok(!realpathSync(link).startsWith(ROOT), `the hub runs on ${realpathSync(link)}`)
  assert.deepEqual([...editor.outside], [])
})
