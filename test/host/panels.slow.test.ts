/** The hub's pages in panels of a real VS Code: asked, streamed, stopped, code taken into files, saved, the hub gone and back, the window reloaded. Pictures under shots/panels. */
import assert from 'node:assert/strict'
import { mkdirSync, readFileSync, rmSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { test } from 'node:test'
import { ROOT } from './bundle.ts'
import { lastFirst, startEditor } from './editor.ts'
import { makeHome, SCRIPTED } from './home.ts'
import { needHost } from './install.ts'
import { shoot, workbench } from './workbench.ts'

const { host, options } = await needHost()
const SHOTS = join(import.meta.dirname, 'shots', 'panels')

const TITLES = JSON.parse(readFileSync(join(ROOT, 'package.nls.json'), 'utf8')) as { [key: string]: string }
const title = (command: string): string => TITLES[`command.${command}`]!

test('the pages in panels', options, async context => {
  const closing = lastFirst(context)
  rmSync(SHOTS, { recursive: true, force: true })
  mkdirSync(SHOTS, { recursive: true })
  const home = makeHome(closing, { worker: resolve(import.meta.dirname, '..', 'webview', 'scripted_worker.ts') })
  const editor = await startEditor(closing, {
    host: host!,
    extension: 'folder',
    env: home.env,
    settings: { 'aiHub.completion.enabled': false },
    files: {
      'sum.ts': 'export function sum(a: number, b: number): number {\n  return a\n}\n\nexport const zero = 0\n',
    },
  })
  const { page } = editor
  page.on('console', message => {
    if (process.env.AI_HUB_TEST_CONSOLE) console.log(message.type(), message.text())
  })
  const wb = workbench(page)
  let number = 0
  const shot = (name: string) => shoot(page, SHOTS, `${String(++number).padStart(2, '0')}-${name}`)
  let hasFailed = false
  const step = (name: string, work: () => Promise<void>) =>
    context.test(name, { skip: hasFailed ? 'a step before failed' : false }, async () => {
      try {
        await work()
      } catch (thrown) {
        hasFailed = true
        await shot('failure').catch(() => {})
        context.diagnostic(home.log())
        throw thrown
      }
    })
  const chat = wb.webview()
  const message = chat.locator('#message')
  const send = async (text: string): Promise<void> => {
    await message.fill(text)
    await message.press('Enter')
  }
  const answer = (text: string) => chat.locator('.message.assistant:not(.live)', { hasText: text }).last()

  await step('the chat opens beside the text, and streams an answer', async () => {
    await editor.open()
    await wb.ready(SCRIPTED)
    await wb.open('sum.ts')
    await wb.run(title('openChat'))
    await message.waitFor()
    await shot('chat')
    await send(
      'say ## Sum\n\n```ts\nexport function sum(a: number, b: number): number {\n  return a + b\n}\n```\n\nthat is $a + b$',
    )
    await answer('that is').waitFor()
    // Parts that are loaded when a text needs them.
    await chat.locator('.hljs-keyword', { hasText: 'export' }).waitFor()
    await chat.locator('math').waitFor()
    await shot('answered')
  })

  assert.deepEqual([...editor.outside], [])
})
