/** The hub's pages in panels of a real VS Code: asked, streamed, stopped, code taken into files, saved, the hub gone and back, the window reloaded. Pictures under shots/panels. */
import assert from 'node:assert/strict'
import { mkdirSync, readFileSync, rmSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { test } from 'node:test'
import { lastFirst, startEditor } from './editor.ts'
import { makeHome, SCRIPTED } from './home.ts'
import { needHost } from './install.ts'
import { SHOTS as ALL_SHOTS, shoot, title, workbench } from './workbench.ts'

const { host, options } = await needHost()
const SHOTS = join(ALL_SHOTS, 'panels')
/** A hub that is killed has to be noticed, started and connected to. */
const RECOVERY_MS = 60_000

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

  await step('code goes into its function after a look at the comparison', async () => {
    await chat.getByRole('button', { name: 'Apply to file' }).click()
    await page.locator('.monaco-diff-editor').waitFor()
    await page.locator('.monaco-diff-editor .line-insert').first().waitFor()
    await shot('comparison')
    await page.getByRole('button', { name: title('applyProposal') }).click()
    await wb.line('return a + b').waitFor()
    await page.locator('.monaco-diff-editor').waitFor({ state: 'detached' })
    await wb.line('export const zero = 0').waitFor()
    await shot('applied')
  })

  await step('code is inserted at the cursor, as one step to undo', async () => {
    await wb.open('sum.ts')
    await page.keyboard.press('Control+End')
    await wb.type('if (zero) {')
    await page.keyboard.press('Enter')
    await send('say ```ts\nlet more = 1\nmore += zero\n```')
    await chat.locator('.code', { hasText: 'more +=' }).getByRole('button', { name: 'Insert at cursor' }).click()
    await wb.line('more += zero').waitFor()
    await shot('inserted')
    await page.keyboard.press('Control+z')
    await wb.line('more += zero').waitFor({ state: 'detached' })
    await wb.line('if (zero) {').waitFor()
  })

  await step('an answer is stopped', async () => {
    await send('forever and stop')
    await chat.locator('.message.live', { hasText: 'word3' }).waitFor()
    await chat.getByRole('button', { name: 'Stop' }).click()
    await chat.getByText('Stopped.').waitFor()
    await shot('stopped')
  })

  await step('a chat is saved as a file', async () => {
    await chat.getByRole('button', { name: 'Chats and search' }).click()
    await chat
      .getByLabel(/^Actions for/)
      .first()
      .click()
    await chat.getByRole('button', { name: 'Export as Markdown' }).click()
    await page.waitForFunction(
      `document.querySelector('.quick-input-widget input.input')?.value.endsWith('say-Sum.md')`,
    )
    await page.keyboard.press('Enter')
    await wb.input.waitFor({ state: 'hidden' })
    await page.locator('.explorer-folders-view .monaco-list-row', { hasText: 'say-Sum.md' }).dblclick()
    await page.locator('.tab.active[data-resource-name="say-Sum.md"]').waitFor()
    await shot('saved')
    assert.match(readFileSync(join(editor.workspace, 'say-Sum.md'), 'utf8'), /return a \+ b/)
    await chat.getByRole('button', { name: 'Close', exact: true }).first().click()
  })

  await step('the selection becomes a draft of the chat', async () => {
    await wb.open('sum.ts')
    await page.keyboard.press('Control+Home')
    await page.keyboard.press('Shift+End')
    await wb.run(title('askInChat'))
    await chat.getByText(/```typescript sum\.ts/).waitFor()
    assert.match(await message.inputValue(), /^```typescript sum\.ts\nexport function sum.*\n```\n\n$/)
    await shot('draft')
  })

  await step('a hub that is killed is missed, and the same page goes on with the next one', async () => {
    const { pid } = home.record()!
    process.kill(pid, 'SIGKILL')
    await home.otherThan(pid, RECOVERY_MS)
    await chat.locator('.notice.warning').waitFor({ state: 'detached', timeout: RECOVERY_MS })
    await send('say back again')
    await answer('back again').waitFor({ timeout: RECOVERY_MS })
    await shot('recovered')
  })

  await step('a reload of the window brings the panel back with its chat and its draft', async () => {
    await message.fill('not sent yet')
    await wb.open('sum.ts')
    await editor.open()
    await wb.ready(SCRIPTED)
    await message.waitFor()
    await answer('back again').waitFor()
    assert.equal(await message.inputValue(), 'not sent yet')
    await shot('reloaded')
  })

  await step(
    'an answer that is being written is kept when its panel is closed, and a new panel begins where that one was',
    async () => {
      await send('forever and close')
      await chat.locator('.message.live', { hasText: 'word60' }).waitFor()
      await page
        .locator('.tab', { hasText: 'AI Chat' })
        .getByRole('button', { name: /^Close/ })
        .click()
      await page.locator('.tab', { hasText: 'AI Chat' }).waitFor({ state: 'detached' })
      await wb.run(title('openChat'))
      // The one that was stopped before stands above it.
      await chat.locator('.message.user:has-text("forever and close") ~ .message.assistant:has-text("word5")').waitFor()
      await chat.getByText('Stopped.').last().waitFor()
      await shot('closed-and-opened')
    },
  )

  await step('the dashboard opens by a link of the chat, and the chat by one of the dashboard', async () => {
    await chat.getByRole('button', { name: 'Chats and search' }).click()
    await chat.getByRole('button', { name: 'Dashboard' }).click()
    const dashboard = wb.webview(1)
    await dashboard.locator('.dashboard').waitFor()
    await shot('dashboard')
    await dashboard.getByRole('button', { name: 'Parts of the dashboard' }).click()
    await dashboard.getByRole('button', { name: 'Chat', exact: true }).click()
    await page.locator('.editor-group-container.active .tab.active', { hasText: 'AI Chat' }).waitFor()
  })

  await step('the chat is in the side bar as well', async () => {
    await page.locator('.activitybar [aria-label="AI Backend Hub"]').first().click()
    await page.locator('.pane-header', { hasText: 'Chat' }).click()
    await wb.webview(2).locator('#message').waitFor()
    await shot('side-bar')
  })

  await step('the page is in the colours of every theme', async () => {
    const looks = (): Promise<{ drawn: string; wanted: string; theme: string | null }> =>
      chat.locator('body').evaluate(`(() => {
        const probe = document.body.appendChild(document.createElement('p'))
        probe.style.background = 'var(--vscode-editor-background)'
        const wanted = getComputedStyle(probe).backgroundColor
        probe.remove()
        return { drawn: getComputedStyle(document.body).backgroundColor, wanted, theme: document.documentElement.dataset.theme ?? null }
      })()`)
    for (const [theme, kind] of [
      ['Light High Contrast', 'vscode-high-contrast-light'],
      ['Dark High Contrast', 'vscode-high-contrast'],
    ] as const) {
      await page.emulateMedia({ colorScheme: theme.startsWith('Light') ? 'light' : 'dark' })
      await wb.run('Preferences: Color Theme')
      await wb.input.fill(theme)
      await wb.pick(theme)
      await chat.locator(`body.${kind}`).waitFor()
      const { drawn, wanted, theme: own } = await looks()
      assert.equal(drawn, wanted)
      assert.equal(own, null)
      await page.screenshot({ path: join(SHOTS, `${kind}.png`) })
    }
  })

  assert.deepEqual([...editor.outside], [])
})
