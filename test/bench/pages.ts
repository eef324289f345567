/** `npm run bench -- pages`: what a person waits for and what a page costs, in a real Chromium before a real hub whose worker is a script. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { type Browser, type BrowserContext, chromium, type Page } from 'playwright-core'
import type { HubEvent } from '../../server/wire/events.ts'
import type { SystemLoad } from '../../server/wire/load.ts'
import { makeModel } from '../helpers/gguf_file.ts'
import { RANDOM_CHAT } from '../helpers/real_hub.ts'
import { findChromium } from '../host/install.ts'
import { longAnswer } from '../webview/long_answer.ts'
import { postJson } from './client.ts'
import { type Frames, type Memory, readMemory, traceFrames } from './pages_frames.ts'
import { startHub, waitForModels } from './servers.ts'
import { median } from './statistics.ts'

export type PagesOptions = { rounds: number; messages: number; note(line: string): void }
type Figures = { [name: string]: number }
type Row = [measurement: string, unit: string, value: number, bar: string]
type Start = { firstPaintMs: number; contentfulPaintMs: number; interactiveMs: number; scriptBytes: number }

const RATE = 200
const TOKENS = 2400
/** Messages of the long conversation into which an answer streams. */
const EARLIER = 400
const VIEW = { viewport: { width: 1280, height: 800 }, locale: 'en-US' }

/** Each page, and how a key is seen there: the chat takes it into its message box, the dashboard moves to the next tab. */
const PAGES = [
  { name: 'chat', path: '/', key: 'a', seen: "document.getElementById('message')?.value.includes('a')" },
  {
    name: 'dashboard',
    path: '/dashboard',
    key: 'Tab',
    seen: 'document.activeElement !== null && document.activeElement !== document.body',
  },
] as const

export async function benchPages(options: PagesOptions): Promise<{ figures: Figures; rows: Row[] }> {
  const executablePath = findChromium()
  if (executablePath === undefined) {
    throw new Error('There is no Chromium: install Chromium or Chrome, or name one in CHROMIUM.')
  }
  const folder = mkdtempSync(join(tmpdir(), 'ai-hub-bench-pages-'))
  const model = join(folder, 'alpha.gguf')
  makeModel(model, RANDOM_CHAT)
  const hub = await startHub({
    models: [model],
    settings: { device: 'cpu', threads: 1, logLevel: 'warn' },
    worker: join(import.meta.dirname, '..', 'webview', 'scripted_worker.ts'),
  })
  let browser: Browser | undefined
  try {
    await waitForModels(hub)
    await postJson(`${hub.url}/v1/models/load`, { model: 'alpha' })
    // Builds the pages where they are not built, which is no part of a visit.
    for (const { path } of PAGES) await fetch(hub.url + path)
    browser = await chromium.launch({
      executablePath,
      args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--enable-precise-memory-info'],
    })
    return await measure(browser, hub.url, options)
  } finally {
    await browser?.close()
    await hub.stop()
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 })
  }
}

async function measure(browser: Browser, url: string, { rounds, messages, note }: PagesOptions) {
  const rows: Row[] = []
  const figures: Figures = {}
  const add = (name: string, measurement: string, unit: string, value: number, bar = ''): void => {
    figures[name] = value
    rows.push([measurement, unit, value, bar])
  }
  for (const page of PAGES) {
    const cold: Start[] = []
    const warm: Start[] = []
    for (let round = 0; round < rounds; round++) {
      const context = await browser.newContext(VIEW)
      cold.push(await start(context, url, page))
      // The second visit fills the cache of compiled scripts.
      await start(context, url, page)
      warm.push(await start(context, url, page))
      await context.close()
      note(`${page.name} ${round + 1}: ${JSON.stringify({ cold: cold.at(-1), warm: warm.at(-1) })}`)
    }
    const middle = (starts: Start[], pick: (start: Start) => number): number => median(starts.map(pick))
    for (const [state, starts] of [
      ['cold', cold],
      ['warm', warm],
    ] as const) {
      const key = `${page.name}_${state}`
      add(
        `${key}_first_paint_ms`,
        `${page.name}, ${state}: first paint`,
        'ms',
        middle(starts, one => one.firstPaintMs),
        '< 1000',
      )
      add(
        `${key}_contentful_ms`,
        `${page.name}, ${state}: first contentful paint`,
        'ms',
        middle(starts, one => one.contentfulPaintMs),
        '< 1000',
      )
      add(
        `${key}_interactive_ms`,
        `${page.name}, ${state}: takes a key`,
        'ms',
        middle(starts, one => one.interactiveMs),
        '< 1500',
      )
    }
    const { scriptBytes } = cold[0]!
    add(`${page.name}_js_kb`, `${page.name}: scripts loaded at start, gzip`, 'KB', scriptBytes / 1000, '< 300')
  }

  const { page: fresh, scripts } = await chat(browser, url)
  frames('stream', 'stream of 200 tokens/s', await streamed(fresh))
  add('chat_all_js_kb', 'chat: with colours and formulas, gzip', 'KB', (await scripts()) / 1000)
  await fresh.context().close()

  const { page: long } = await chat(browser, url, await seed(url, EARLIER))
  const begun = await seedShown(long)
  add('history_open_ms', `a conversation of ${EARLIER} messages: shown`, 'ms', begun)
  frames('stream_long', `the same behind ${EARLIER} messages`, await streamed(long))
  await long.context().close()

  const growth = await talk(browser, url, messages, note)
  add('chat_heap_mb', `chat: heap after ${messages} messages`, 'MB', growth.after.heapBytes / 1e6)
  add('chat_heap_per_message_kb', 'chat: heap for each message more', 'KB', growth.perMessageBytes / 1000, '< 10')
  add('chat_nodes', `chat: nodes after ${messages} messages`, '', growth.after.nodes)
  add('chat_nodes_per_message', 'chat: nodes for each message more', '', growth.perMessageNodes, '< 1')
  add('chat_listeners_per_message', 'chat: listeners for each message more', '', growth.perMessageListeners, '< 0.1')

  const hour = await watch(browser, url)
  add('dashboard_heap_mb', 'dashboard: heap after an hour', 'MB', hour.after.heapBytes / 1e6)
  add('dashboard_heap_growth_mb', 'dashboard: what a second hour adds', 'MB', hour.growthBytes / 1e6, '< 1')
  return { figures, rows }

  function frames(key: string, name: string, found: Frames): void {
    note(`${name}: ${JSON.stringify(found)}`)
    add(`${key}_fps`, `${name}: frames`, '1/s', found.frames / found.seconds, '60')
    add(
      `${key}_dropped_share`,
      `${name}: frames that did not come`,
      '%',
      (100 * found.dropped) / (found.frames + found.dropped),
    )
    add(`${key}_longest_ms`, `${name}: longest frame`, 'ms', found.longestMs)
    add(`${key}_busy_percent`, `${name}: main thread busy`, '%', 100 * found.busyShare)
    add(`${key}_longest_task_ms`, `${name}: longest task, of its own time`, 'ms', found.longestTaskMs)
  }
}

/** Opens a page and presses a key until it is seen. */
async function start(
  context: BrowserContext,
  url: string,
  { path, key, seen }: (typeof PAGES)[number],
): Promise<Start> {
  const page = await context.newPage()
  const scripts = countScripts(page)
  await page.addInitScript(`
    const look = () => {
      if (${seen}) { setTimeout(() => { window.seenAt = performance.now() }); return }
      requestAnimationFrame(look)
    }
    requestAnimationFrame(look)`)
  await page.goto(url + path, { waitUntil: 'commit' })
  let seenAt: unknown
  while (typeof seenAt !== 'number') {
    await page.keyboard.press(key)
    seenAt = await page.evaluate('new Promise(resolve => setTimeout(() => resolve(window.seenAt), 5))')
  }
  await page.waitForLoadState('load')
  const paints = (await page.evaluate(
    "performance.getEntriesByType('paint').map(({ name, startTime }) => [name, startTime])",
  )) as [string, number][]
  const at = Object.fromEntries(paints)
  const scriptBytes = await scripts()
  // What was typed would be a draft of the next visit.
  await page.evaluate('localStorage.clear()')
  await page.close()
  return {
    firstPaintMs: at['first-paint'] ?? Number.NaN,
    contentfulPaintMs: at['first-contentful-paint'] ?? Number.NaN,
    interactiveMs: seenAt,
    scriptBytes,
  }
}

/** @returns asks how many bytes the scripts that were loaded since would take with gzip */
function countScripts(page: Page): () => Promise<number> {
  const bodies: Promise<number>[] = []
  page.on('response', response => {
    if (response.request().resourceType() !== 'script') return
    bodies.push(
      response.body().then(
        body => gzipSync(body).length,
        () => 0,
      ),
    )
  })
  return async () => (await Promise.all(bodies)).reduce((sum, bytes) => sum + bytes, 0)
}

/** @returns the page, and what asks for the bytes of its scripts */
async function chat(
  browser: Browser,
  url: string,
  conversation?: string,
): Promise<{ page: Page; scripts: () => Promise<number> }> {
  const context = await browser.newContext(VIEW)
  if (conversation !== undefined) await context.addInitScript(`localStorage.setItem('aiHub.open', '${conversation}')`)
  const page = await context.newPage()
  page.setDefaultTimeout(120_000)
  const scripts = countScripts(page)
  await page.goto(url)
  await page.getByLabel('Model', { exact: true }).waitFor()
  return { page, scripts }
}

/** When the last message of the conversation was on the page, since its visit began. */
async function seedShown(page: Page): Promise<number> {
  await page.locator('.message').last().waitFor()
  return (await page.evaluate(
    'new Promise(resolve => requestAnimationFrame(() => setTimeout(() => resolve(performance.now()))))',
  )) as number
}

/** Puts the text into the message box past the browser's own history of typing, which keeps a thousand texts to undo. */
async function say(page: Page, text: string): Promise<void> {
  await page.evaluate(`{
    const box = document.getElementById('message')
    Object.getOwnPropertyDescriptor(HTMLTextAreaElement.prototype, 'value').set.call(box, ${JSON.stringify(text)})
    box.dispatchEvent(new Event('input', { bubbles: true }))
  }`)
  await page.locator('#message').press('Enter')
}

/** From the question to the end of the answer. */
async function streamed(page: Page): Promise<Frames> {
  await page.locator('#message').fill(`stream ${RATE} ${TOKENS}`)
  return traceFrames(page, async () => {
    await page.locator('#message').press('Enter')
    await page.locator('.message.live').waitFor()
    await page.locator('.message.live').waitFor({ state: 'detached' })
  })
}

/** A kept conversation of so many messages. @returns its id */
async function seed(url: string, messages: number): Promise<string> {
  const chat = await postJson(`${url}/v1/chats`, { title: 'long', model: 'alpha' })
  const { id } = JSON.parse(chat.text) as { id: string }
  const answer = longAnswer(500).join('')
  for (let index = 0; index < messages; index++) {
    const parent = index === 0 ? null : `m${index - 1}`
    const isAnswer = index % 2 === 1
    const response = await fetch(`${url}/v1/chats/${id}/messages/m${index}`, {
      method: 'PUT',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({
        parent,
        role: isAnswer ? 'assistant' : 'user',
        content: isAnswer ? answer : `Question ${index}`,
      }),
    })
    if (!response.ok) throw new Error(`a message was not kept: ${await response.text()}`)
  }
  return id
}

/** Asks until there are so many messages. The first fifth warms up: what is kept for good, such as compiled code, comes then. */
async function talk(browser: Browser, url: string, messages: number, note: (line: string) => void) {
  const { page } = await chat(browser, url)
  const session = await page.context().newCDPSession(page)
  const ask = async (index: number): Promise<void> => {
    await say(
      page,
      `say **Answer ${index}**\n\n| a | b |\n|---|---|\n| ${index} | $x^{${index}}$ |\n\n\`\`\`ts\nlet a${index} = ${index}\n\`\`\``,
    )
    await page.locator('.message.assistant:not(.live)', { hasText: `Answer ${index}\n` }).waitFor()
    await page.locator('.message.live').waitFor({ state: 'detached' })
  }
  const warmUp = Math.floor(messages / 10)
  for (let index = 0; index < warmUp; index++) await ask(index)
  const before = await readMemory(session)
  note(`chat after ${2 * warmUp} messages: ${JSON.stringify(before)}`)
  for (let index = warmUp; index < messages / 2; index++) await ask(index)
  const after = await readMemory(session)
  note(`chat after ${messages} messages: ${JSON.stringify(after)}`)
  await page.context().close()
  const per = (pick: (memory: Memory) => number): number => (pick(after) - pick(before)) / (messages - 2 * warmUp)
  return {
    after,
    perMessageBytes: per(one => one.heapBytes),
    perMessageNodes: per(one => one.nodes),
    perMessageListeners: per(one => one.listeners),
  }
}

/** The dashboard over two hours of the hub's events, as fast as they are drawn. */
async function watch(browser: Browser, url: string): Promise<{ after: Memory; growthBytes: number }> {
  const context = await browser.newContext(VIEW)
  const page = await context.newPage()
  const { promise: connected, resolve: connect } = Promise.withResolvers<(message: string) => void>()
  await page.routeWebSocket(/\/v1\/events/, socket => {
    socket.connectToServer().onMessage(message => {
      connect(text => socket.send(text))
      // The hub's own load would stand between those of other hours.
      if (!String(message).includes('system.load')) socket.send(message)
    })
  })
  await page.goto(`${url}/dashboard`)
  const push = await connected
  const session = await context.newCDPSession(page)
  const begun = Date.now()
  let second = 0
  const hour = async (): Promise<Memory> => {
    for (const end = second + 3600; second < end; second += 2) {
      push(JSON.stringify({ type: 'system.load', load: loadAt(begun + second * 1000) } satisfies HubEvent))
      await page.evaluate('new Promise(resolve => requestAnimationFrame(resolve))')
    }
    return readMemory(session)
  }
  const after = await hour()
  const later = await hour()
  await context.close()
  return { after, growthBytes: later.heapBytes - after.heapBytes }
}

/** A busy machine: everything changes a little all the time. */
function loadAt(atMs: number): SystemLoad {
  const wave = (Math.sin(atMs / 60_000) + 1) / 2
  return {
    at_ms: atMs,
    cpu: wave,
    memory: { total_bytes: 16e9, available_bytes: 4e9 + wave * 4e9, hub_rss_bytes: 2e8 },
    devices: [{ name: 'card', total_bytes: 8e9, free_bytes: 2e9 + wave * 4e9, busy: wave }],
    queue: { running: Math.round(wave * 4), waiting: Math.round(wave * 2) },
    models: [
      {
        id: 'alpha',
        busy: Math.round(wave * 4),
        queued: 0,
        memory_bytes: 1e6,
        device_bytes: 0,
        kv_used_tokens: Math.round(wave * 2048),
        kv_total_tokens: 2048,
        decoded_tokens: atMs / 10,
      },
    ],
  }
}
