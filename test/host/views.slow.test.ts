/** The views of the extension, their rows and what is done with them, in a real VS Code, with a picture of each step in both themes. */
import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { lastFirst, startEditor } from './editor.ts'
import { makeHome, SCRIPTED, TINY_CHAT } from './home.ts'
import { needHost } from './install.ts'
import { SHOTS, shoot, title, workbench } from './workbench.ts'

const { host, options } = await needHost()
const TRAINING_MS = 180_000

const DATA = Array.from({ length: 12 }, (_, index) =>
  JSON.stringify({ prompt: `What is ${index} and ${index}?`, completion: `It is ${2 * index}, as everybody knows.` }),
).join('\n')

test('the views of models and training', options, async context => {
  const closing = lastFirst(context)
  const home = makeHome(closing)
  const editor = await startEditor(closing, {
    host: host!,
    extension: 'folder',
    env: home.env,
    settings: { 'aiHub.chat.model': SCRIPTED, 'aiHub.completion.model': SCRIPTED },
    files: { 'sums.jsonl': `${DATA}\n` },
  })
  const { page } = editor
  const wb = workbench(page)
  let number = 0
  const shot = (name: string) => shoot(page, SHOTS, `views-${String(++number).padStart(2, '0')}-${name}`)
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
  const pane = page.locator('.part.sidebar .pane-body .monaco-list')
  const node = (text: string | RegExp) => pane.locator('.monaco-list-row').filter({ hasText: text }).first()
  /** A button of a row, which shows where the mouse is. */
  const act = async (text: string | RegExp, label: string): Promise<void> => {
    await node(text).hover()
    await node(text).locator(`.action-label[aria-label*="${label}"]`).click()
  }
  /** A menu that has just opened takes no click. */
  const choose = async (label: string): Promise<void> => {
    const item = page.locator('.context-view .action-item', { hasText: label }).first()
    await item.waitFor()
    for (let tries = 0; tries < 10 && (await item.isVisible()); tries++) {
      await item.click({ timeout: 3000 }).catch(() => {})
      await item.waitFor({ state: 'hidden', timeout: 2000 }).catch(() => {})
    }
  }
  const menu = async (text: string | RegExp, label: string): Promise<void> => {
    await node(text).click({ button: 'right' })
    await page.locator('.context-view .action-item', { hasText: label }).first().waitFor()
    await shot(`menu-${label.split(' ')[0]!.toLowerCase()}`)
    await choose(label)
  }
  const states = async (): Promise<{ [id: string]: string }> => {
    const { data } = (await home.ask('/v1/models/status')) as { data: { id: string; state: string }[] }
    return Object.fromEntries(data.map(({ id, state }) => [id, state]))
  }
  const becomes = async (what: string, isSo: () => Promise<boolean>): Promise<void> => {
    for (const end = Date.now() + 60_000; !(await isSo()); await page.waitForTimeout(200)) {
      if (Date.now() > end) throw new Error(`waited in vain for ${what}`)
    }
  }

  await step('models: loaded, pinned and unloaded by a click on their row', async () => {
    await editor.open()
    await wb.ready(SCRIPTED)
    await page.locator('.activitybar [aria-label="AI Backend Hub"]').first().click()
    await node(TINY_CHAT).waitFor()
    await shot('models')
    await act(TINY_CHAT, 'Load Model')
    await node(/tiny-chat.*loaded/).waitFor()
    await shot('models-loaded')
    await menu(TINY_CHAT, title('pinModel'))
    await wb.toast('never unloaded to make room').waitFor()
    await node(/tiny-chat.*loaded · pinned/).waitFor()
    await shot('models-pinned')
    await act(TINY_CHAT, 'Unload Model')
    await becomes('the unloading', async () => (await states())[TINY_CHAT] === 'unloaded')
  })

  await step('the menu of the status bar', async () => {
    await wb.status(SCRIPTED).click()
    await wb.row('Switch model').waitFor()
    await shot('status-menu')
    await page.keyboard.press('Escape')
  })

  await step(
    'training on a file twice: a job with its loss, a dataset with its report, an adapter with versions',
    async () => {
      for (const version of [1, 2]) {
        await page.locator('.activitybar [aria-label^="Explorer"]').first().click()
        await page
          .locator('.explorer-folders-view .monaco-list-row', { hasText: 'sums.jsonl' })
          .click({ button: 'right' })
        await choose(title('trainFile'))
        await wb.pick(TINY_CHAT)
        await wb.row('Start training').waitFor({ timeout: TRAINING_MS })
        if (version === 1) await shot('plan')
        await wb.pick('Start training')
        await wb.toast('is trained').first().waitFor({ timeout: TRAINING_MS })
        await becomes(`version ${version}`, async () => {
          const { data } = (await home.ask('/v1/training/adapters')) as { data: { version: number }[] }
          return data[0]?.version === version
        })
        if (version === 1) await shot('trained')
        await page.keyboard.press('Escape')
        await wb.run('Notifications: Clear All Notifications')
      }
      await node('v2').waitFor()
      await shot('training')
      await node(/sums.*samples/).click()
      await page
        .frameLocator('iframe.webview')
        .frameLocator('iframe#active-frame')
        .getByText('Samples')
        .first()
        .waitFor()
      await shot('report')
    },
  )

  await step('an adapter is compared, used, rolled back and deleted', async () => {
    await act('v2', title('compareAdapter'))
    // The report lies behind it.
    const comparison = page.locator('iframe.webview').last().contentFrame().frameLocator('iframe#active-frame')
    await comparison.getByText('Verdict').first().waitFor({ timeout: TRAINING_MS })
    await shot('comparison')
    await act('v2', title('useModel').replace('…', ''))
    await wb.pick('For reviews, explanations and fixes')
    await wb.toast('is in use now').waitFor()
    await node('v2').click()
    await menu('v2', title('rollBackAdapter'))
    await wb.toast('is version').waitFor()
    await shot('rolled-back')
    await menu(/^sums.*tiny-chat/, title('deleteAdapter'))
    await page.locator('.monaco-dialog-box .monaco-button', { hasText: 'Delete' }).click()
    await becomes('the end of the file', async () => {
      return (
        readdirSync(join(home.folder, 'trained_models', TINY_CHAT)).filter(name => name.endsWith('.gguf')).length === 0
      )
    })
    await becomes('the settings without it', async () => editor.settings()['aiHub.chat.model'] === '')
    await shot('deleted')
  })

  await step('the walkthrough', async () => {
    await wb.run(title('walkthrough'))
    await page.getByText('the first ten minutes').first().waitFor()
    await shot('walkthrough')
  })

  assert.deepEqual([...editor.outside], [])
})
