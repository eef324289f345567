/** Getting a model in a real VS Code: the list, a name that is typed, the progress in the notification and in the view, and the model in use. */
import assert from 'node:assert/strict'
import { mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { hubFile, modelHub } from '../helpers/model_hub.ts'
import { modelBytes } from '../helpers/pulls.ts'
import { ROOT } from './bundle.ts'
import { lastFirst, startEditor } from './editor.ts'
import { makeHome, TINY_CHAT } from './home.ts'
import { needHost } from './install.ts'
import { shoot, workbench } from './workbench.ts'

const { host, options } = await needHost()
const SHOTS = join(import.meta.dirname, 'shots')
const TITLES = JSON.parse(readFileSync(join(ROOT, 'package.nls.json'), 'utf8')) as { [key: string]: string }

test('a model is chosen, comes, is stopped, goes on, and is used', options, async context => {
  const closing = lastFirst(context)
  mkdirSync(SHOTS, { recursive: true })
  const bytes = modelBytes({ seed: 9 })
  const half = bytes.length >> 1
  const remote = await modelHub(closing, {
    'maker/fresh-GGUF': { 'fresh-Q4_K_M.gguf': hubFile(bytes, { etag: '"e"' }) },
  })
  remote.misbehave = (request, response, file) => {
    if (request.headers.range !== undefined) return false
    response.writeHead(200, { 'content-length': file.bytes.length, etag: '"e"' })
    response.write(file.bytes.subarray(0, half))
    return true
  }
  const home = makeHome(closing, { realOnly: true })
  const editor = await startEditor(closing, {
    host: host!,
    extension: 'folder',
    env: { ...home.env, HF_ENDPOINT: remote.url },
    settings: {},
    files: { 'a.ts': '' },
  })
  const { page } = editor
  const wb = workbench(page)
  const shot = (name: string) => shoot(page, SHOTS, `pull-${name}`)
  try {
    await editor.open()
    await wb.ready(TINY_CHAT)
    await wb.run('Focus on Models View')
    await wb.run(TITLES['command.pullModel']!)
    await wb.row('Qwen').waitFor()
    await shot('list')
    await wb.input.fill('maker/fresh-GGUF')
    await wb.pick('maker/fresh-GGUF')
    const toast = wb.toast('Getting maker/fresh-GGUF')
    await toast.waitFor()
    const row = page.locator('.monaco-list-row', { hasText: 'fresh-Q4_K_M' }).first()
    await row.getByText('50%').waitFor()
    await shot('running')
    await toast.locator('.monaco-button', { hasText: 'Cancel' }).click()
    await row.getByText('stopped').waitFor()
    await shot('stopped')
    await row.hover()
    await row.getByRole('button', { name: TITLES['command.resumePull']! }).click()
    const use = wb.toastButton('fresh-Q4_K_M is here.', 'Use It')
    await use.waitFor()
    await shot('there')
    await use.click()
    await wb.pick('For both')
    await wb.status('fresh-Q4_K_M').waitFor()
    await shot('in-use')
  } catch (thrown) {
    await shot('failure').catch(() => {})
    context.diagnostic(home.log())
    throw thrown
  }
  assert.deepEqual([...editor.outside], [])
})
