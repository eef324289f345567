/** The dashboard in a real browser against a real hub: models, requests, settings, help that helps, the hub gone and back. */
import assert from 'node:assert/strict'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { gzipSync } from 'node:zlib'
import type { Browser, BrowserContextOptions, Page } from 'playwright-core'
import { estimateNeed } from '../../server/models/estimate.ts'
import type { GgufFacts } from '../../server/wire/model.ts'
import type { RequestOut } from '../../server/wire/requests.ts'
import type { ModelStatusOut, SystemStatus } from '../../server/wire/system.ts'
import { makeModel } from '../helpers/gguf_file.ts'
import { hubFile, modelHub } from '../helpers/model_hub.ts'
import { RANDOM_CHAT } from '../helpers/real_hub.ts'
import { needBrowser, openBrowser, type PagesHub, pagesHub, visit } from './browser.ts'

const SHOTS = join(import.meta.dirname, 'shots')
const AXE = createRequire(import.meta.url).resolve('axe-core/axe.min.js')
const SECRET = 'say the secret of the prompt'
const TABS = ['Overview', 'Models', 'Requests', 'Settings', 'System'] as const
const JS_BYTES = 300_000

describe('the dashboard', needBrowser(), () => {
  const closers: (() => Promise<void> | void)[] = []
  const closing = { after: (close: () => Promise<void> | void) => void closers.push(close) }
  let browser: Browser
  let pages: PagesHub
  before(async () => {
    mkdirSync(SHOTS, { recursive: true })
    browser = await openBrowser(closing)
    pages = await pagesHub(closing, { models: { alpha: { description: 'A small one' }, beta: {}, gamma: {} } })
    writeFileSync(join(pages.home, 'local_models', 'chat_models', 'torn.gguf'), 'GGUF and no more')
  })
  after(async () => {
    for (const close of closers.reverse()) await close()
  })

  const there = (page: Page): Promise<void> => page.getByRole('heading', { level: 1 }).waitFor()
  /** A page that must end without a mistake and without a request to another place. */
  const open = async (
    route: string,
    use: (page: Page) => Promise<void>,
    options: BrowserContextOptions = {},
    hub = pages,
  ): Promise<void> => {
    const { page, outside, mistakes } = await visit(browser, `${hub.hub.url}/dashboard#${route}`, options, there)
    try {
      await use(page)
      assert.deepEqual({ outside, mistakes }, { outside: [], mistakes: [] })
    } finally {
      await page.context().close()
    }
  }
  const api = async <T>(path: string, hub = pages): Promise<T> => (await fetch(hub.hub.url + path)).json() as Promise<T>
  const post = (path: string, body: unknown, hub = pages, signal?: AbortSignal): Promise<Response> =>
    fetch(hub.hub.url + path, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
      ...(signal && { signal }),
    })
  const ask = async (content: string, model = 'alpha', hub = pages): Promise<void> => {
    await (await post('/v1/chat/completions', { model, messages: [{ role: 'user', content }] }, hub)).text()
  }
  const status = async (id: string, hub = pages): Promise<ModelStatusOut | undefined> =>
    (await api<{ data: ModelStatusOut[] }>('/v1/models/status', hub)).data.find(model => model.id === id)
  const row = (page: Page, model: string) => page.locator('.model', { has: page.getByText(model, { exact: true }) })
  const button = (page: Page, name: string | RegExp) =>
    page.getByRole('button', typeof name === 'string' ? { name, exact: true } : { name })

  test('the page is served like the chat page, with its own nonce, and what it loads is small', async () => {
    const response = await fetch(`${pages.hub.url}/dashboard`)
    const policy = response.headers.get('content-security-policy') ?? ''
    assert.doesNotMatch(policy, /unsafe|https?:|\*/)
    const html = await response.text()
    const nonce = /script-src 'nonce-([^']+)'/.exec(policy)?.[1]
    assert.ok(nonce !== undefined && html.includes(`nonce="${nonce}"`))
    await open('overview', async page => {
      for (const tab of ['Overview', 'Models', 'Requests', 'Training', 'Datasets', 'Adapters', 'Settings', 'System']) {
        await button(page, tab).click()
        await page.getByRole('heading', { level: 1, name: tab }).waitFor()
      }
      await button(page, 'Overview').click()
      await page.locator('.uplot canvas').first().waitFor()
      const names = (await page.evaluate(
        "performance.getEntriesByType('resource').map(({ name }) => name).filter(name => name.endsWith('.js'))",
      )) as string[]
      assert.ok(names.length > 2)
      let bytes = 0
      for (const name of new Set(names)) bytes += gzipSync(Buffer.from(await (await fetch(name)).arrayBuffer())).length
      assert.ok(bytes < JS_BYTES, `${bytes} bytes of JavaScript`)
    })
  })

  test('a model is loaded, pinned, given a smaller context and unloaded', () =>
    open('models', async page => {
      await button(page, 'Load gamma').click()
      await row(page, 'gamma').getByText('loaded', { exact: true }).waitFor()
      await button(page, 'Pin gamma').click()
      await page.getByRole('button', { name: 'Pin gamma', pressed: true }).waitFor()
      const card = join(pages.home, 'local_models', 'chat_models', 'gamma.model.json')
      assert.deepEqual(JSON.parse(readFileSync(card, 'utf8')), { pin: true })
      await row(page, 'gamma').getByText('Details').click()
      await page.getByLabel('Context (tokens)').fill('12')
      await page.getByText('A whole number from 64 to 2048.').waitFor()
      await page.getByLabel('Context (tokens)').fill('1024')
      await page.keyboard.press('Enter')
      await page.locator('.context-form button:disabled').waitFor()
      await button(page, 'Unload gamma').click()
      await row(page, 'gamma').getByText('not loaded').waitFor()
      await row(page, 'gamma').getByText('1,024', { exact: true }).waitFor()
      assert.equal((await status('gamma'))?.context_size, 1024)
      await button(page, 'Pin gamma').click()
      await page.getByRole('button', { name: 'Pin gamma', pressed: false }).waitFor()
      assert.deepEqual(JSON.parse(readFileSync(card, 'utf8')), { context_size: 1024 })
    }))

  test('what is done in one tab is seen in the other', () =>
    open('models', page =>
      open('models', async other => {
        await button(page, 'Load beta').click()
        await row(other, 'beta').getByText('loaded', { exact: true }).waitFor()
        await button(other, 'Pin beta').click()
        await page.getByRole('button', { name: 'Pin beta', pressed: true }).waitFor()
        await button(page, 'Pin beta').click()
        await button(other, 'Unload beta').click()
        await row(page, 'beta').getByText('not loaded').waitFor()
      }),
    ))

  test('a model in use is not unloaded, and the reason stands with it', () =>
    open('models', async page => {
      const stop = new AbortController()
      const body = { model: 'beta', stream: true, messages: [{ role: 'user', content: 'forever' }] }
      const running = await post('/v1/chat/completions', body, pages, stop.signal)
      await row(page, 'beta').getByText('loaded', { exact: true }).waitFor()
      await button(page, 'Unload beta').click()
      await row(page, 'beta')
        .getByText(/is in use by 1 requests/)
        .waitFor()
      stop.abort()
      await running.text().catch(() => undefined)
    }))

  test('requests appear while they come, with figures and without a word of their text', () =>
    open('requests', async page => {
      await ask(SECRET)
      const first = page.locator('.data tbody tr').first()
      await first.getByText('answered').waitFor()
      await first.getByText('alpha').waitFor()
      await first.getByText('66.7').or(first.getByText(/^\d/)).first().waitFor()
      await post('/v1/chat/completions', { model: 'nobody', messages: [{ role: 'user', content: SECRET }] })
      await page.locator('.data').getByText('404 no such model').waitFor()
      await page.getByText('A program asked for a model that is not here.').waitFor()
      const stop = new AbortController()
      const body = { model: 'alpha', stream: true, messages: [{ role: 'user', content: `forever ${SECRET}` }] }
      const running = await post('/v1/chat/completions', body, pages, stop.signal)
      stop.abort()
      await running.text().catch(() => undefined)
      await page.locator('.data').getByText('cancelled').first().waitFor()
      await page.getByLabel(/^Ending/).selectOption('failed')
      await page.locator('.data').getByText('cancelled').first().waitFor({ state: 'detached' })
      assert.equal(await page.locator('.data tbody tr').count(), 1)
      await page.getByLabel(/^Ending/).selectOption('all')
      assert.ok(!(await page.content()).includes('secret'))
      const { data } = await api<{ data: RequestOut[] }>('/v1/system/requests')
      assert.ok(!JSON.stringify(data).includes('secret'))
      await button(page, 'To the models').click()
      await page.getByRole('heading', { level: 1, name: 'Models' }).waitFor()
      assert.match(page.url(), /#models$/)
      await page.goBack()
      await page.getByRole('heading', { level: 1, name: 'Requests' }).waitFor()
    }))

  test('a page opened now shows the requests of before, and its charts say in words what they draw', async () => {
    await ask(SECRET)
    await open('overview', async page => {
      await page.locator('.data tbody tr').first().getByText('answered').waitFor()
      await page.getByText(/On average [\d.]+%, at most [\d.]+%\./).waitFor()
      await page.getByText(/In use: On average .*B, at most .*B\./).waitFor()
      await page.getByLabel('Charts show').selectOption({ label: 'the last hour' })
      await page.reload()
      assert.equal(await page.getByLabel('Charts show').inputValue(), '3600000')
    })
  })

  test('a broken file is told with its reason, from the overview to its place', () =>
    open('overview', async page => {
      await page.getByText('The file of torn cannot be used').waitFor()
      await page.locator('.problem-card', { hasText: 'torn' }).getByRole('button', { name: 'Show it' }).click()
      await row(page, 'torn')
        .getByText(/torn\.gguf is not whole|torn\.gguf/)
        .first()
        .waitFor()
      assert.match(page.url(), /#models\/torn$/)
    }))

  test('a model for which memory lacks is loaded after the pinned one made room, or with a smaller context', async () => {
    const own = await pagesHub(closing, { models: {}, model: { ...RANDOM_CHAT, context: 2 ** 40 } })
    const folder = join(own.home, 'local_models', 'chat_models')
    // The context decides what a model needs: such a part of all memory that two do not fit the 0.85 of it that models may take.
    const { memory } = await api<SystemStatus>('/v1/system/status', own)
    makeModel(join(folder, 'probe.gguf'), { ...RANDOM_CHAT, context: 2 ** 40 })
    while ((await status('probe', own)) === undefined) await new Promise(setImmediate)
    const probe = (await status('probe', own))!
    const needOf = (contextTokens: number): number =>
      estimateNeed(probe.facts as unknown as GgufFacts, probe.bytes, { contextTokens, batchTokens: 512, kvType: 'f16' })
        .totalBytes
    const perToken = (needOf(20_000) - needOf(10_000)) / 10_000
    const card = (part: number, more: object = {}): string =>
      JSON.stringify({ context_size: Math.round((memory.total_bytes * part - needOf(0)) / perToken), ...more })
    for (const [name, text] of [
      ['pinned', card(0.43, { pin: true })],
      ['large', card(0.44)],
      ['vast', card(0.9)],
    ] as const) {
      writeFileSync(join(folder, `${name}.model.json`), text)
      makeModel(join(folder, `${name}.gguf`), { ...RANDOM_CHAT, context: 2 ** 40 })
    }
    while ((await status('vast', own))?.context_size === undefined) await new Promise(setImmediate)
    await open(
      'models',
      async page => {
        await button(page, 'Load pinned').click()
        await row(page, 'pinned').getByText('loaded', { exact: true }).waitFor()
        await button(page, 'Load large').click()
        await page.getByText('There is not enough memory for large').waitFor()
        await page
          .locator('.problem-card')
          .getByText(/needs about [\d.]+ GiB/)
          .waitFor()
        await button(page, 'Unload pinned and load it').click()
        await row(page, 'large').getByText('loaded', { exact: true }).waitFor()
        await row(page, 'pinned').getByText('not loaded').waitFor()
        await button(page, 'Load vast').click()
        await page.getByText('There is not enough memory for vast').waitFor()
        await page.getByRole('button', { name: /^Load it with a context of/ }).click()
        await row(page, 'vast').getByText('loaded', { exact: true }).waitFor()
        await page.getByText('There is not enough memory for vast').waitFor({ state: 'detached' })
        await axe(page)
      },
      {},
      own,
    )
    await own.close()
  })

  test('a setting is changed, refused with its reason at the field, and reset', () =>
    open('settings', async page => {
      const slots = page.getByLabel('Requests at once', { exact: true })
      await slots.fill('7')
      await slots.press('Enter')
      await page.getByText('changed here · counts for models loaded from then on · saved').waitFor()
      const answer = await api<{ settings: { slots: number } }>('/v1/settings')
      assert.equal(answer.settings.slots, 7)
      await slots.fill('many')
      await slots.press('Tab')
      const setting = page.locator('.setting', { has: page.getByText('slots', { exact: true }) })
      await setting.getByRole('alert').getByText(/slots/).waitFor()
      assert.equal(await slots.getAttribute('aria-invalid'), 'true')
      assert.equal((await api<{ settings: { slots: number } }>('/v1/settings')).settings.slots, 7)
      await button(page, 'Reset Requests at once').click()
      await setting.getByText(/^default/).waitFor()
      assert.equal(await slots.inputValue(), '4')
      assert.equal(await slots.getAttribute('aria-invalid'), 'false')
      const level = page.getByLabel('Log level')
      await level.selectOption('warn')
      await page.getByText('changed here · counts at once · saved').waitFor()
      await button(page, 'Reset Log level').click()
      await page.getByText('default · counts at once · saved').waitFor()
    }))

  test('a change that the command line overrides says so, and one that needs a restart stays in view', () =>
    open('settings', async page => {
      await page.getByLabel('Context', { exact: true }).fill('4096')
      await page.getByLabel('Context', { exact: true }).press('Enter')
      await page.getByText('Changed here without effect').waitFor()
      await button(page, 'Reset Context').click()
      await page.getByText('Changed here without effect').waitFor({ state: 'detached' })
      const output = page.locator('.setting', { has: page.getByText('host', { exact: true }) })
      await output.getByText('set at the start of the hub only').waitFor()
      assert.equal(await output.locator('input').count(), 0)
    }))

  test('the system tells its address for programs, its devices, and what doctor finds', async () => {
    await open(
      'system',
      async page => {
        await page.getByText(`${pages.hub.url}/v1`).waitFor()
        await button(page, 'Copy: Base URL').click()
        await page.getByText('Copied').first().waitFor()
        assert.equal(await page.evaluate('navigator.clipboard.readText()'), `${pages.hub.url}/v1`)
        await page.getByText('cpu backend').waitFor()
        await page.getByText(`runs at ${pages.hub.url}`).waitFor()
        await page.getByRole('link', { name: 'All endpoints, to read and to try' }).waitFor()
      },
      { permissions: ['clipboard-read', 'clipboard-write'] },
    )
  })

  test('the hub is gone and back: that is said, and what was seen stays', async () => {
    const own = await pagesHub(closing, { models: { alpha: {} } })
    await ask('say x', 'alpha', own)
    const { page, mistakes } = await visit(browser, `${own.hub.url}/dashboard#requests`, {}, there)
    await page.locator('.data').getByText('answered').first().waitFor()
    await own.close()
    await page.getByText('The hub does not answer. Trying again…').waitFor()
    assert.equal(await page.locator('.data tbody tr').count(), 1)
    const again = await pagesHub(closing, { models: { alpha: {} }, home: own.home, port: own.port })
    await page.getByText('The hub does not answer. Trying again…').waitFor({ state: 'detached' })
    await ask('say y', 'alpha', again)
    await page.locator('.data tbody tr').nth(1).waitFor()
    assert.deepEqual(mistakes, [])
    await page.context().close()
    await again.close()
  })

  test('with only a toy there, the page says so, and a model is fetched with its progress in view', async () => {
    const folder = join(pages.home, 'made')
    mkdirSync(folder)
    makeModel(join(folder, 'real.gguf'), RANDOM_CHAT)
    const bytes = readFileSync(join(folder, 'real.gguf'))
    const source = await modelHub(closing as never, { 'someone/real-GGUF': { 'real-Q8_0.gguf': hubFile(bytes) } })
    let go = (): void => {}
    const gate = new Promise<void>(resolve => {
      go = resolve
    })
    source.misbehave = async () => {
      await gate
      return false
    }
    const own = await pagesHub(closing, { models: { starter: { toy: true } }, env: { HF_ENDPOINT: source.url } })
    await open(
      'overview',
      async page => {
        await page.getByRole('heading', { name: 'Only the small starter model is here.' }).waitFor()
        await page.getByText('Best here for chat').waitFor()
        await page.getByText(join(own.home, 'local_models', 'chat_models')).waitFor()
        await axe(page)
        await page.screenshot({ path: join(SHOTS, 'dashboard_toy.png') })
        await page.getByLabel('Any other: OWNER/REPO or the address of a .gguf').fill('someone/real-GGUF')
        await button(page, 'Get').click()
        await page.getByRole('heading', { name: 'Downloads' }).waitFor()
        await button(page, /^Cancel real/).waitFor()
        go()
        await button(page, /^Dismiss real/).click()
        await page.getByRole('heading', { name: 'Downloads' }).waitFor({ state: 'detached' })
        await page.getByText('Only the small starter model is here.').waitFor({ state: 'detached' })
        await button(page, /All models \(2\)/).waitFor()
      },
      {},
      own,
    )
    await own.close()
  })

  test('the parts are reached by keyboard alone', () =>
    open('overview', async page => {
      await page.keyboard.press('Tab')
      await page.keyboard.press('Tab')
      assert.equal(await page.evaluate('document.activeElement.textContent'), 'Overview')
      await page.keyboard.press('Tab')
      await page.keyboard.press('Enter')
      await page.getByRole('heading', { level: 1, name: 'Models' }).waitFor()
      assert.equal(await page.evaluate('document.activeElement.tagName'), 'MAIN')
      await page.keyboard.press('Tab')
      assert.notEqual(await page.evaluate('document.activeElement.closest("main")'), null)
    }))

  test('Vietnamese is chosen by the browser, and the chat page is a link away', () =>
    open(
      'models',
      async page => {
        await page.getByRole('heading', { level: 1, name: 'Mô hình' }).waitFor()
        await button(page, 'Nạp alpha').or(button(page, 'Gỡ alpha')).waitFor()
        await page.getByLabel('Ngôn ngữ').selectOption('en')
        await page.getByRole('heading', { level: 1, name: 'Models' }).waitFor()
        await page.getByRole('link', { name: 'Chat with alpha' }).click()
        await page.locator('#message').waitFor()
        await page.getByRole('link', { name: 'Dashboard' }).click()
        await there(page)
      },
      { locale: 'vi-VN' },
    ))

  for (const [name, options] of Object.entries({
    light: { colorScheme: 'light' },
    dark: { colorScheme: 'dark' },
    contrast: { contrast: 'more' },
    forced: { forcedColors: 'active', colorScheme: 'dark' },
    narrow_light: { colorScheme: 'light', viewport: { width: 320, height: 640 } },
    narrow_dark: { colorScheme: 'dark', viewport: { width: 320, height: 640 } },
  } satisfies { [name: string]: BrowserContextOptions })) {
    test(`${name}: readable for everyone, and nothing sticks out`, async () => {
      await ask(SECRET, 'alpha')
      await open(
        'overview',
        async page => {
          for (const tab of TABS) {
            if (name.startsWith('narrow')) await button(page, 'Parts of the dashboard').click()
            await button(page, tab).click()
            await page.getByRole('heading', { level: 1, name: tab }).waitFor()
            await shown[tab](page)
            await axe(page)
            const [content, width] = (await page.evaluate(
              "(({ scrollWidth, clientWidth }) => [scrollWidth, clientWidth])(document.querySelector('.content'))",
            )) as [number, number]
            assert.ok(content <= width, `${tab} is ${content} wide in ${width}`)
            assert.ok(await page.evaluate('document.documentElement.scrollWidth <= innerWidth'), tab)
            await page.screenshot({ path: join(SHOTS, `dashboard_${name}_${tab.toLowerCase()}.png`) })
          }
          if (name.startsWith('narrow')) {
            await button(page, 'Parts of the dashboard').click()
            await axe(page)
            await page.keyboard.press('Escape')
            await page.getByRole('navigation').waitFor({ state: 'hidden' })
          }
        },
        options,
      )
    })
  }
})

/** What each part shows once it is all there. */
const shown: { [tab in (typeof TABS)[number]]: (page: Page) => Promise<void> } = {
  Overview: page => page.locator('.uplot canvas').nth(2).waitFor(),
  Models: async page => {
    await page.locator('.model').nth(2).waitFor()
    await page.getByText('Details', { exact: true }).first().click()
    await page.locator('.context-form').first().waitFor()
  },
  Requests: page => page.locator('.data tbody tr').first().waitFor(),
  Settings: page => page.locator('.setting').first().waitFor(),
  System: page => page.getByText('cpu backend').waitFor(),
}

async function axe(page: Page): Promise<void> {
  // The page's own policy lets no script in; the debugger may.
  await page.evaluate(readFileSync(AXE, 'utf8'))
  const violations =
    (await page.evaluate(`axe.run({ runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice'] }).then(({ violations }) => violations.map(({ id, nodes }) => ({
    id, nodes: nodes.map(({ html, failureSummary }) => html.slice(0, 200) + ' ' + failureSummary) })))`)) as object[]
  assert.deepEqual(violations, [])
}
