/** What a user of the extension does and sees, in a real VS Code, with a picture of every step in both themes under shots/. */
import assert from 'node:assert/strict'
import { globSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { lastFirst, startEditor } from './editor.ts'
import { makeHome, SCRIPTED, TINY_CHAT } from './home.ts'
import { needHost } from './install.ts'
import { RISKY, WRONG } from './script.ts'
import { SHOTS, shoot, title, workbench } from './workbench.ts'

const { host, options } = await needHost()
/** A hub that is killed has to be noticed, started and connected to. */
const RECOVERY_MS = 60_000
const TRAINING_MS = 180_000

/** Something to train on. */
const NOTES = Object.fromEntries(
  ['cats', 'rivers'].map(what => [
    `src/${what}.ts`,
    Array.from(
      { length: 4 },
      (_, index) =>
        `/** What is known of ${what} in case ${index}. */\nexport function ${what}${index}(count: number): number {\n  const step = ${index}\n  return count * step + ${index * 7}\n}\n`,
    ).join('\n'),
  ]),
)

test('the workbench with the extension', options, async context => {
  const closing = lastFirst(context)
  for (const name of globSync('[0-9]*.png', { cwd: SHOTS })) rmSync(join(SHOTS, name))
  const home = makeHome(closing)
  const editor = await startEditor(closing, {
    host: host!,
    extension: 'folder',
    // Even where a hub asks everybody for a key, the extension of its own user has what opens it.
    env: { ...home.env, AI_HUB_REQUIRE_API_KEY: 'always' },
    settings: { 'aiHub.chat.model': SCRIPTED },
    files: {
      ...NOTES,
      'tsconfig.json': '{ "compilerOptions": { "strict": true, "moduleDetection": "force" } }\n',
      'total.ts': 'const prices = [1, 2]\n',
      'sum.ts': '',
      'wrong.ts': WRONG,
      'pay.ts': RISKY,
      'again.ts': '',
    },
  })
  const { page } = editor
  const wb = workbench(page)
  let number = 0
  const shot = (name: string) => shoot(page, SHOTS, `${String(++number).padStart(2, '0')}-${name}`)
  /** The steps need each other: after the first that fails, a picture says where it stood, and the rest is left. */
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

  await step('the extension starts the hub and shows its model', async () => {
    await editor.open()
    await wb.ready(SCRIPTED)
    assert.ok(home.record())
    await shot('ready')
  })

  await step('ghost text appears while typing, and Tab takes it', async () => {
    await wb.open('total.ts')
    await page.keyboard.press('Control+End')
    await wb.type('const total = ')
    await wb.ghost.waitFor()
    await shot('ghost-text')
    await page.keyboard.press('Tab')
    await wb.ghost.waitFor({ state: 'detached' })
    await wb.line('const total = prices.reduce((sum, price) => sum + price, 0)').waitFor()
    await shot('ghost-text-taken')
  })

  await step('a suggestion is taken word by word, over the bracket that the editor closed', async () => {
    await wb.open('sum.ts')
    await wb.type('function add(')
    await wb.ghost.waitFor()
    await page.keyboard.press('Control+ArrowRight')
    await page.keyboard.press('Control+ArrowRight')
    await page.locator('.statusbar-item', { hasText: 'Ln 1, Col 17' }).waitFor()
    await wb.ghost.waitFor()
    await shot('words-taken')
    await page.keyboard.press('Tab')
    await wb.ghost.waitFor({ state: 'detached' })
    await wb.line('function add(a: number, b: number): number {').waitFor()
  })

  await step("an error of TypeScript's own is fixed from the light bulb", async () => {
    await wb.open('wrong.ts')
    await wb.squiggle('error').waitFor()
    await page.keyboard.press('Control+Home')
    await page.keyboard.press('F8')
    await page.keyboard.press('Escape')
    await page.keyboard.press('Control+.')
    const fix = page.locator('.action-widget .monaco-list-row').filter({ hasText: 'AI: fix' }).first()
    await fix.waitFor()
    await shot('quick-fix')
    await fix.click()
    await wb.preview.waitFor()
    await shot('quick-fix-preview')
    await wb.applyPreview()
    await wb.line('const value: number = 42').waitFor()
    await wb.squiggle('error').waitFor({ state: 'detached' })
    await shot('fixed')
  })

  await step('a review underlines what it found', async () => {
    await wb.open('pay.ts')
    await wb.run(title('review'))
    await wb.pick('This file')
    await wb.squiggle('error').waitFor()
    await shot('review')
    await page.keyboard.press('Control+Shift+M')
    await page.locator('.markers-panel').getByText('is run as code').first().waitFor()
    await shot('review-problems')
  })

  await step('another model is chosen', async () => {
    await wb.run(title('switchModel'))
    await shot('switch-model')
    await wb.pick(TINY_CHAT)
    await wb.status(TINY_CHAT).waitFor()
    await wb.run(title('switchModel'))
    await wb.pick(SCRIPTED)
    await wb.status(SCRIPTED).waitFor()
  })

  await step('an API key is made, works at once, and is deleted', async () => {
    const { url } = home.record()!
    const status = async (key: string): Promise<number> =>
      (await fetch(`${url}/v1/models`, { headers: { authorization: `Bearer ${key}` } })).status
    assert.equal(await status('none'), 401)
    await wb.run(title('createKey'))
    await wb.input.fill('phone')
    await page.keyboard.press('Enter')
    await wb.row('For everything').waitFor()
    await shot('key-role')
    await wb.pick('For answers')
    const dialog = page.locator('.monaco-dialog-box')
    await dialog.getByText('The API key phone is made.').waitFor()
    await shot('key-made')
    const key = /sk-hub-[\w-]{43}/.exec(await dialog.innerText())?.[0] ?? ''
    assert.equal(await status(key), 200)
    await dialog.locator('.monaco-button', { hasText: 'Copy Key' }).click()
    await wb.toastButton('Copied the key.', 'Copy Base URL').click()
    await wb.run(title('deleteKey'))
    await wb.row('phone').waitFor()
    await shot('key-delete')
    await wb.pick('phone')
    await dialog.locator('.monaco-button', { hasText: 'Delete' }).click()
    await dialog.waitFor({ state: 'detached' })
    while ((await status(key)) !== 401);
  })

  await step('training from the palette: the plan, the run, and its result in use', async () => {
    await wb.run(title('trainWorkspace'))
    await wb.pick(TINY_CHAT)
    await wb.row('Start training').waitFor({ timeout: TRAINING_MS })
    await shot('training-plan')
    await wb.pick('Start training')
    await shot('training')
    const done = wb.toastButton('is trained', 'Use It')
    await done.waitFor({ timeout: TRAINING_MS })
    await shot('trained')
    await done.click()
    await wb.status(`${TINY_CHAT}:`).waitFor()
    await shot('trained-in-use')
  })

  await step('a hub that is killed comes back, and suggests again', async () => {
    const { pid } = home.record()!
    process.kill(pid, 'SIGKILL')
    await home.otherThan(pid, RECOVERY_MS)
    await wb.run(title('switchModel'))
    await wb.pick(SCRIPTED)
    await wb.status(SCRIPTED).waitFor({ timeout: RECOVERY_MS })
    await wb.open('again.ts')
    await wb.type('const total = ')
    await wb.ghost.waitFor({ timeout: RECOVERY_MS })
    await shot('recovered')
  })

  assert.deepEqual([...editor.outside], [])
})
