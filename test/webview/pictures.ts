/**
 * Makes the pictures of docs/pages.md: `node_modules/.bin/node test/webview/pictures.ts [words of their names]`. The chat's answers are
 * said by a script; the dashboard's figures are those of a real run of the starter model on this machine.
 */
import { copyFileSync, mkdirSync, mkdtempSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import type { Browser, BrowserContextOptions, Page } from 'playwright-core'
import { answered, openBrowser, pagesHub, send } from './browser.ts'
import { BINARY_SEARCH, capitals, MAIL, QUADRATIC, RECIPE, type Talk } from './talks.ts'

const ROOT = resolve(import.meta.dirname, '..', '..')
const FOLDER = join(ROOT, 'docs', 'pictures')
const MAX_BYTES = 150_000
const WIDE = { width: 1280, height: 800 }
const NARROW = { width: 360, height: 720 }
const words = process.argv.slice(2)
const closers: (() => Promise<void> | void)[] = []
const closing = { after: (close: () => Promise<void> | void) => void closers.push(close) }

mkdirSync(FOLDER, { recursive: true })
try {
  const browser = await openBrowser(closing)
  if (wanted('chat')) await chat(browser)
  if (wanted('dashboard')) await dashboard(browser)
} finally {
  for (const close of closers.reverse()) await close()
}

function wanted(name: string): boolean {
  return words.length === 0 || words.some(word => word.startsWith(name) || name.startsWith(word))
}

async function picture(
  browser: Browser,
  name: string,
  url: string,
  options: BrowserContextOptions,
  prepare: (page: Page) => Promise<void>,
): Promise<void> {
  const context = await browser.newContext({ viewport: WIDE, locale: 'en-US', reducedMotion: 'reduce', ...options })
  const page = await context.newPage()
  page.setDefaultTimeout(120_000)
  await page.goto(url)
  await prepare(page)
  // What was pressed last should not look pressed.
  await page.mouse.move(0, 0)
  const path = join(FOLDER, `${name}.png`)
  await page.screenshot({ path, animations: 'disabled' })
  await context.close()
  const { size } = statSync(path)
  console.log(`${name}.png ${Math.round(size / 1000)} KB`)
  if (size > MAX_BYTES) throw new Error(`${name}.png is larger than ${MAX_BYTES} bytes`)
}

async function ask(page: Page, { question }: Talk, count = 1): Promise<void> {
  await page.locator('.picker select').first().locator('option').first().waitFor({ state: 'attached' })
  await send(page, question)
  await answered(page, count)
  await page.locator('.message.live').waitFor({ state: 'detached' })
}

async function chat(browser: Browser): Promise<void> {
  const { hub } = await pagesHub(closing, { models: { assistant: {}, coder: {} } })
  const { url } = hub
  const vietnamese = { locale: 'vi-VN' }
  await picture(browser, 'chat_light', url, { colorScheme: 'light' }, async page => {
    for (const talk of [MAIL, RECIPE]) {
      await ask(page, talk)
      await page.keyboard.press('Alt+n')
    }
    await ask(page, BINARY_SEARCH)
    await page.locator('.hljs-keyword').first().waitFor()
    await page.locator('math').first().waitFor()
  })
  await picture(browser, 'chat_dark', url, { colorScheme: 'dark', ...vietnamese }, async page => {
    await ask(page, QUADRATIC)
    await page.locator('math').first().waitFor()
    await page.locator('.reasoning summary').click()
  })
  await picture(browser, 'chat_compare', `${url}/#compare=assistant,coder`, { colorScheme: 'light' }, async page => {
    await page.locator('.second option:checked', { hasText: 'coder' }).waitFor({ state: 'attached' })
    await send(page, MAIL.question)
    await page.locator('.pair .message:not(.live)').nth(1).waitFor()
  })
  await picture(browser, 'chat_options', url, { colorScheme: 'dark' }, async page => {
    await page.getByRole('button', { name: 'Options', exact: true }).click()
    await page.getByLabel('System prompt').fill('Answer in short sentences, in the language of the question.')
    await page.getByLabel('Temperature').fill('0.7')
    await page.getByLabel('Seed').fill('7')
    await page.getByRole('complementary', { name: 'Options' }).focus()
    await ask(page, MAIL)
  })
  const narrow = { viewport: NARROW, deviceScaleFactor: 1.5 }
  await picture(browser, 'chat_narrow_light', url, { colorScheme: 'light', ...narrow, ...vietnamese }, page =>
    ask(page, RECIPE),
  )
  await picture(browser, 'chat_narrow_dark', url, { colorScheme: 'dark', ...narrow }, async page => {
    await ask(page, MAIL)
    await page.getByRole('button', { name: 'Chats and search' }).click()
  })
}

/** A hub with the starter, which learns from the sample data: everything that is seen was measured. */
async function dashboard(browser: Browser): Promise<void> {
  const home = mkdtempSync(join(tmpdir(), 'ai-hub-pictures-'))
  for (const [from, to] of [
    ['local_models/code_models/starter.gguf', 'local_models/code_models/starter.gguf'],
    ['local_models/code_models/starter.model.json', 'local_models/code_models/starter.model.json'],
  ] as const) {
    mkdirSync(join(home, to, '..'), { recursive: true })
    copyFileSync(join(ROOT, from), join(home, to))
  }
  const { hub } = await pagesHub(closing, { scripted: false, home, models: {} })
  const { url } = hub
  const post = async (path: string, body: object): Promise<{ id: string }> => {
    const response = await fetch(url + path, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    })
    if (!response.ok) throw new Error(`${path}: ${await response.text()}`)
    return (await response.json()) as { id: string }
  }
  const name = 'thu-do'
  await post('/v1/training/datasets/import', {
    name,
    text: capitals(),
    model: 'starter',
    filters: { duplicate_near: false },
  })
  const job = await post('/v1/training/start', {
    model_name: 'starter',
    dataset: name,
    name,
    config: { epochs: 4, batch_size: 4, seed: 1, eval_interval: 10, patience: 0 },
  })
  await (await fetch(`${url}/v1/fine_tuning/jobs/${job.id}/events?stream=true`)).text()
  for (const content of ['const sum = (a, b) =>', 'Xin chào!', 'Write a loop.']) {
    await post('/v1/chat/completions', { model: 'starter', messages: [{ role: 'user', content }], max_tokens: 40 })
  }
  const at = (route: string): string => `${url}/dashboard#${route}`
  const settled = async (page: Page): Promise<void> => {
    await page.locator('main').waitFor()
    // Charts are drawn, and figures come by the next event of the hub.
    await page.waitForTimeout(3000)
  }
  /** Behind the help for a hub that has the starter only. */
  const below = async (page: Page): Promise<void> => {
    await settled(page)
    await page.evaluate("document.querySelector('.overview > .bar')?.scrollIntoView()")
  }
  const run = async (page: Page): Promise<void> => {
    await page.locator('.canvas canvas').first().waitFor()
    await settled(page)
  }
  await picture(browser, 'dashboard_run_light', at(`training/${job.id}`), { colorScheme: 'light' }, run)
  await picture(browser, 'dashboard_run_dark', at(`training/${job.id}`), { colorScheme: 'dark', locale: 'vi-VN' }, run)
  await picture(browser, 'dashboard_data', at(`datasets/${name}`), { colorScheme: 'dark' }, settled)
  const narrow = { viewport: NARROW, deviceScaleFactor: 1.5 }
  await picture(browser, 'dashboard_narrow_light', at(`training/${job.id}`), { colorScheme: 'light', ...narrow }, run)
  await picture(browser, 'dashboard_light', at('overview'), { colorScheme: 'light' }, settled)
  await picture(browser, 'dashboard_dark', at('overview'), { colorScheme: 'dark', locale: 'vi-VN' }, below)
  await picture(browser, 'dashboard_models', at('models'), { colorScheme: 'light' }, settled)
  await picture(browser, 'dashboard_narrow_dark', at('overview'), { colorScheme: 'dark', ...narrow }, settled)
}
