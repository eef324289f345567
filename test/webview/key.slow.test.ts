/** The pages from another machine: asked for an API key, with it used, refused and forgotten. */
import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import type { Browser, Page } from 'playwright-core'
import { createKey } from '../../server/security/keys.ts'
import { openDatabase } from '../../server/storage/db.ts'
import { ApiKeyRequest } from '../../server/wire/keys.ts'
import { answered, ELSEWHERE, needBrowser, openBrowser, type PagesHub, pagesHub, send, visit } from './browser.ts'

const SHOTS = join(import.meta.dirname, 'shots')
const AXE = createRequire(import.meta.url).resolve('axe-core/axe.min.js')

describe('the pages from another machine', needBrowser(), () => {
  const closers: (() => Promise<void> | void)[] = []
  const closing = { after: (close: () => Promise<void> | void) => void closers.push(close) }
  let browser: Browser
  let pages: PagesHub
  let key: { id: string; value: string }
  before(async () => {
    mkdirSync(SHOTS, { recursive: true })
    browser = await openBrowser(closing)
    const home = mkdtempSync(join(tmpdir(), 'ai-hub-key-pages-'))
    const db = openDatabase(join(home, 'hub.db'))
    key = createKey({ db, now: Date.now }, ApiKeyRequest.parse({ name: 'browser' }))
    db.close()
    pages = await pagesHub(closing, { home, settings: { host: '0.0.0.0' } })
  })
  after(async () => {
    for (const close of closers.reverse()) await close()
  })
  const open = async (use: (page: Page) => Promise<void>, options = {}): Promise<void> => {
    const { page, outside, mistakes } = await visit(browser, `http://${ELSEWHERE}:${pages.port}/`, options)
    try {
      await use(page)
      assert.deepEqual({ outside, mistakes }, { outside: [], mistakes: [] })
    } finally {
      await page.context().close()
    }
  }
  const ask = (page: Page) => page.getByRole('dialog', { name: 'This hub asks for an API key' })
  const give = async (page: Page, value: string): Promise<void> => {
    await ask(page).getByLabel('API key', { exact: true }).fill(value)
    await page.keyboard.press('Enter')
  }
  /** The dialog is gone, and the models are known. */
  const opened = async (page: Page): Promise<void> => {
    await ask(page).waitFor({ state: 'hidden' })
    await page.locator('option[value=alpha]').first().waitFor({ state: 'attached' })
  }
  const manage = (method: string, path: string, body: object) =>
    fetch(pages.hub.url + path, {
      method,
      headers: { authorization: `Bearer ${pages.hub.token}`, 'content-type': 'application/json' },
      body: JSON.stringify(body),
    })

  test('a key is asked for, refused when it is wrong, and then the chat works and stays open over a reload', () =>
    open(async page => {
      await ask(page).waitFor()
      await page.keyboard.press('Escape')
      await page.keyboard.press('Escape')
      await ask(page).waitFor()
      await give(page, 'two words')
      await page.getByText('This is not a key').waitFor()
      await give(page, `sk-hub-${'x'.repeat(43)}`)
      await page.getByText('That key was refused').waitFor()
      await give(page, ` ${key.value} `)
      await opened(page)
      await send(page, 'say The **Red River**')
      assert.match(await answered(page), /Red River/)
      // Events come too: the model is said to be loaded.
      await page.getByRole('button', { name: 'Models' }).click()
      await page.locator('.model-state.ready').first().waitFor()
      await page.reload()
      assert.match(await answered(page), /Red River/)
      assert.equal(await ask(page).isVisible(), false)
      await page.locator('.message.assistant').getByRole('button', { name: 'Copy' }).click()
      await page.locator('#message').focus()
      await page.keyboard.press('ControlOrMeta+V')
      assert.equal(await page.locator('#message').inputValue(), 'The **Red River**')
      // This role may not manage: it is told so.
      await page.getByRole('button', { name: 'Models' }).click()
      await page.getByRole('button', { name: /^Unload / }).click()
      await page.getByText("an API key of the role 'admin'").waitFor()
      await page.getByRole('button', { name: 'Forget the API key' }).click()
      await ask(page).waitFor()
    }))

  test('a key that is changed or deleted while the page is open is asked for again', () =>
    open(async page => {
      await give(page, key.value)
      await opened(page)
      await manage('PATCH', `/v1/keys/${key.id}`, { name: 'renamed' })
      await manage('DELETE', `/v1/keys/${key.id}`, {})
      await page.getByText('That key was refused').waitFor()
      const made = (await (await manage('POST', '/v1/keys', { name: 'new', role: 'admin' })).json()) as typeof key
      key = made
      await give(page, made.value)
      await opened(page)
      await send(page, 'say again')
      assert.match(await answered(page), /again/)
    }))

  for (const [name, options] of [
    ['light', { colorScheme: 'light' }],
    ['dark', { colorScheme: 'dark' }],
    ['vi', { colorScheme: 'dark', locale: 'vi-VN', viewport: { width: 380, height: 700 } }],
  ] as const) {
    test(`the dialog in ${name} can be read by everyone`, () =>
      open(async page => {
        const dialog = page.getByRole('dialog')
        await dialog.waitFor()
        await dialog.getByRole('textbox').or(dialog.locator('input')).first().fill('x y')
        await page.keyboard.press('Enter')
        await dialog.locator('.problem').filter({ hasText: /./ }).waitFor()
        await page.screenshot({ path: join(SHOTS, `key-${name}.png`) })
        await page.evaluate(readFileSync(AXE, 'utf8'))
        const found = await page.evaluate(`
            axe.run({ runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa'] }).then(({ violations }) =>
              violations.map(({ id, nodes }) => id + ': ' + nodes.map(({ html }) => html.slice(0, 120)).join(' | ')))`)
        assert.deepEqual(found, [])
      }, options))
  }

  test('the dashboard asks as well', () =>
    open(async page => {
      await ask(page).waitFor()
      await page.goto(`http://${ELSEWHERE}:${pages.port}/dashboard`)
      await give(page, key.value)
      await ask(page).waitFor({ state: 'hidden' })
    }))
})
