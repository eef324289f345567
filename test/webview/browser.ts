/** A hub with models for the pages, and a real Chromium that looks at it. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core'
import { type Hub, startHub } from '../../server/hub.ts'
import { type ModelOptions, makeModel } from '../helpers/gguf_file.ts'
import { RANDOM_CHAT } from '../helpers/real_hub.ts'
import { findChromium } from '../host/install.ts'

type Closing = { after(close: () => Promise<void> | void): void }

/** What the tests of pages are skipped by. @throws Error under CI=true where there is no Chromium */
export function needBrowser(): { skip?: string } {
  if (findChromium() !== undefined) return {}
  const missing = 'there is no Chromium: install Chromium or Chrome, or name one in CHROMIUM'
  if (process.env.CI === 'true') throw new Error(`the tests of the pages cannot run: ${missing}`)
  return { skip: missing }
}

/** The browser's name of this machine as another one knows it. */
export const ELSEWHERE = 'desk.test'

export async function openBrowser(closing: Closing): Promise<Browser> {
  const browser = await chromium.launch({
    executablePath: findChromium()!,
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-dev-shm-usage',
      // A name that is not loopback's: a page there is what it is on another machine, without the rights of a safe place.
      `--host-resolver-rules=MAP ${ELSEWHERE} 127.0.0.1`,
    ],
  })
  closing.after(() => browser.close())
  return browser
}

export type PagesHub = { hub: Hub; home: string; port: number; close(): Promise<void> }

/** @param options scripted: answers come from scripted_worker.ts; models: file name -> its card */
export async function pagesHub(
  closing: Closing,
  options: {
    scripted?: boolean
    models?: { [name: string]: object }
    home?: string
    port?: number
    model?: ModelOptions
    settings?: { [name: string]: string }
    env?: NodeJS.ProcessEnv
  } = {},
): Promise<PagesHub> {
  const home = options.home ?? mkdtempSync(join(tmpdir(), 'ai-hub-pages-'))
  const folder = join(home, 'local_models', 'chat_models')
  mkdirSync(folder, { recursive: true })
  for (const [name, card] of Object.entries(options.models ?? { alpha: {}, beta: {} })) {
    makeModel(join(folder, `${name}.gguf`), options.model ?? RANDOM_CHAT)
    writeFileSync(join(folder, `${name}.model.json`), JSON.stringify(card))
  }
  const hub = await startHub({
    home,
    commandLine: {
      port: String(options.port ?? 0),
      threads: '1',
      poll: '0',
      contextTokens: '2048',
      device: 'cpu',
      ...options.settings,
    },
    env: options.env ?? {},
    logSinks: [],
    ...(options.scripted !== false && { workerScript: join(import.meta.dirname, 'scripted_worker.ts') }),
  })
  closing.after(async () => {
    await hub.close()
    rmSync(home, { recursive: true, force: true, maxRetries: 5 })
  })
  await hub.ready
  return { hub, home, port: Number(new URL(hub.url).port), close: () => hub.close() }
}

export type Visit = { page: Page; outside: string[]; mistakes: string[] }

/** The page, with what it asked of other places and what went wrong in it; both must stay empty. @param there waits for what the page shows first */
export async function visit(
  browser: Browser,
  url: string,
  options: BrowserContextOptions = {},
  there: (page: Page) => Promise<unknown> = chatIsThere,
): Promise<Visit> {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, locale: 'en-US', ...options })
  const page = await context.newPage()
  // Tests share the machine's cores.
  page.setDefaultTimeout(60_000)
  const outside: string[] = []
  const mistakes: string[] = []
  page.on('request', request => {
    const asked = new URL(request.url())
    if (/^(https?|wss?):$/.test(asked.protocol) && asked.host !== new URL(url).host) outside.push(request.url())
  })
  page.on('pageerror', error => mistakes.push(error.message))
  page.on('console', message => {
    // A hub that is away is no mistake of the page.
    if (message.type() === 'error' && !/ERR_CONNECTION|Failed to load resource|WebSocket/.test(message.text())) {
      mistakes.push(message.text())
    }
  })
  await page.goto(url)
  await there(page)
  return { page, outside, mistakes }
}

const chatIsThere = (page: Page): Promise<void> =>
  page
    .getByLabel('Model', { exact: true })
    .or(page.getByLabel('Mô hình', { exact: true }))
    .first()
    .waitFor()

/** Writes a message and sends it. */
export async function send(page: Page, text: string): Promise<void> {
  await page.locator('#message').fill(text)
  await page.locator('#message').press('Enter')
}

/** Waits until the last answer is whole. */
export async function answered(page: Page, count = 1): Promise<string> {
  await page
    .locator('.message.assistant:not(.live)')
    .nth(count - 1)
    .waitFor()
  return page
    .locator('.message.assistant:not(.live)')
    .nth(count - 1)
    .innerText()
}
