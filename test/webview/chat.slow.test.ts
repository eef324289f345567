/** The chat page in a real browser against a real hub: asked, streamed, stopped, branched, searched, reloaded, cut off, and attacked. */
import assert from 'node:assert/strict'
import { mkdirSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import type { Browser, Page } from 'playwright-core'
import { openDatabase } from '../../server/storage/db.ts'
import type { ConversationList, ConversationWhole } from '../../server/wire/conversations.ts'
import type { AbTestOut } from '../../server/wire/evaluation.ts'
import { hubFile, modelHub } from '../helpers/model_hub.ts'
import { modelBytes } from '../helpers/pulls.ts'
import { answered, needBrowser, openBrowser, type PagesHub, pagesHub, send, visit } from './browser.ts'

const SHOTS = join(import.meta.dirname, 'shots')
const AXE = createRequire(import.meta.url).resolve('axe-core/axe.min.js')

describe('the chat page', needBrowser(), () => {
  const closers: (() => Promise<void> | void)[] = []
  const closing = { after: (close: () => Promise<void> | void) => void closers.push(close) }
  let browser: Browser
  let pages: PagesHub
  before(async () => {
    mkdirSync(SHOTS, { recursive: true })
    browser = await openBrowser(closing)
    pages = await pagesHub(closing)
  })
  after(async () => {
    for (const close of closers.reverse()) await close()
  })
  const api = async <T>(path: string): Promise<T> => (await fetch(pages.hub.url + path)).json() as Promise<T>
  const latest = async (): Promise<ConversationWhole> => {
    const { data } = await api<ConversationList>('/v1/chats?limit=1')
    return api(`/v1/chats/${data[0]!.id}`)
  }
  /** A page that must end without a mistake and without a request to another place. */
  const open = async (use: (page: Page) => Promise<void>, options = {}): Promise<void> => {
    const { page, outside, mistakes } = await visit(browser, pages.hub.url, options)
    try {
      await use(page)
      assert.deepEqual({ outside, mistakes }, { outside: [], mistakes: [] })
    } finally {
      await page.context().close()
    }
  }

  test('the page allows no script but its own, and no byte from elsewhere', async () => {
    const response = await fetch(pages.hub.url)
    const policy = response.headers.get('content-security-policy') ?? ''
    const html = await response.text()
    const nonce = /script-src 'nonce-([^']+)'/.exec(policy)?.[1]
    assert.ok(nonce !== undefined && html.includes(`nonce="${nonce}"`))
    assert.doesNotMatch(policy, /unsafe|https?:|\*/)
    assert.doesNotMatch(html, /<script(?![^>]* src=)|<style|\son\w+=|https?:\/\//)
    assert.notEqual(
      /nonce-([^']+)'/.exec((await fetch(pages.hub.url)).headers.get('content-security-policy') ?? '')?.[1],
      nonce,
    )
    assert.equal((await fetch(`${pages.hub.url}/pages/..%2f..%2fpackage.json`)).status, 404)
  })

  test('an answer streams in with its figures, and the conversation is there after a reload', () =>
    open(async page => {
      await send(page, 'say The **Red River**')
      assert.match(await answered(page), /Red River/)
      assert.equal(await page.locator('.message.assistant strong').innerText(), 'Red River')
      await page.getByText('100.0 tokens/s').waitFor()
      await page.getByText(/first token/).waitFor()
      await page.getByText(/of 2,048 tokens of context/).waitFor()
      await page.reload()
      assert.match(await answered(page), /Red River/)
      assert.deepEqual(
        (await latest()).messages.map(({ role, content, finish }) => [role, content, finish]),
        [
          ['user', 'say The **Red River**', undefined],
          ['assistant', 'The **Red River**', 'stop'],
        ],
      )
    }))

  test('a draft survives a reload, and each chat has its own', () =>
    open(async page => {
      await page.locator('#message').fill('half a thought')
      await page.reload()
      await page.getByLabel('Model', { exact: true }).waitFor()
      assert.equal(await page.locator('#message').inputValue(), 'half a thought')
      await send(page, 'say x')
      await answered(page)
      await page.locator('#message').fill('for this chat')
      await page.getByRole('button', { name: 'New chat' }).first().click()
      assert.equal(await page.locator('#message').inputValue(), '')
    }))

  test('an answer without end is stopped, kept, and goes on', () =>
    open(async page => {
      await send(page, 'forever')
      await page.locator('.message.live', { hasText: 'word5' }).waitFor()
      await page.keyboard.press('Escape')
      const text = await answered(page)
      assert.match(text, /Stopped\./)
      const { messages } = await latest()
      assert.deepEqual([messages.length, messages[1]?.finish], [2, 'stopped'])
      assert.match(messages[1]!.content, /^word0 word1 /)
      await page.locator('.message.user').getByRole('button', { name: 'Edit' }).click()
      await page.getByRole('textbox', { name: 'Edit' }).fill('say new words')
      await page.getByRole('button', { name: 'Send as a new branch' }).click()
      await page.locator('.message.assistant', { hasText: 'new words' }).waitFor()
      await page.locator('.message.user', { hasText: '2/2' }).getByRole('button', { name: 'Earlier version' }).click()
      await page.locator('.message.assistant', { hasText: 'word5' }).waitFor()
      await page.locator('.actions').getByRole('button', { name: 'Answer again' }).waitFor()
    }))

  test('an answer that was left by a reload is kept', () =>
    open(async page => {
      await send(page, 'forever')
      await page.locator('.message.live', { hasText: 'word5' }).waitFor()
      await page.reload()
      assert.match(await answered(page), /word5[\s\S]*Stopped\./)
    }))

  test('a worker that dies leaves what came, with what to do', () =>
    open(async page => {
      await send(page, 'die')
      const text = await answered(page)
      assert.match(text, /Half an/)
      assert.match(text, /The answer broke off\./)
      await page.locator('.ending').getByRole('button', { name: 'Continue' }).click()
      await page.locator('.message.assistant:not(.live)', { hasText: 'Half anthe rest.' }).waitFor()
    }))

  test('a hub that goes away leaves what came, takes what is written meanwhile, and is found again', async () => {
    const own = await pagesHub(closing)
    const { page, mistakes } = await visit(browser, own.hub.url)
    await send(page, 'forever')
    await page.locator('.message.live', { hasText: 'word5' }).waitFor()
    await own.close()
    await page.getByText('The hub does not answer.').first().waitFor()
    assert.match(await answered(page), /word5[\s\S]*The answer broke off\./)
    await page.locator('#message').fill('written meanwhile')
    await pagesHub(closing, { home: own.home, port: own.port })
    await page.getByText('Trying again').waitFor({ state: 'detached' })
    await page.reload()
    assert.match(await answered(page), /word5/)
    assert.equal(await page.locator('#message').inputValue(), 'written meanwhile')
    await page.locator('.ending').getByRole('button', { name: 'Continue' }).click()
    await page.locator('.message.assistant:not(.live)', { hasText: 'the rest.' }).waitFor()
    assert.deepEqual(mistakes, [])
    await page.context().close()
  })

  test('ten thousand messages open, and the early ones can be seen', async () => {
    const { id } = (await (
      await fetch(`${pages.hub.url}/v1/chats`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ title: 'long one', model: 'alpha' }),
      })
    ).json()) as { id: string }
    const db = openDatabase(join(pages.home, 'hub.db'))
    try {
      const rows = Array.from({ length: 10_000 }, (_, index) => ({
        sql: `insert into conversation_messages (conversation, id, parent, created_ms, role, content, data) values (?, ?, ?, 1, ?, ?, '{}')`,
        params: [
          id,
          `m${index}`,
          index === 0 ? null : `m${index - 1}`,
          index % 2 === 0 ? 'user' : 'assistant',
          `text ${index}`,
        ],
      }))
      db.batch([...rows, { sql: "update conversations set leaf = 'm9999' where id = ?", params: [id] }])
    } finally {
      db.close()
    }
    await open(async page => {
      await page.locator('.chat-title', { hasText: 'long one' }).click()
      await page.locator('.message', { hasText: 'text 9999' }).waitFor()
      assert.ok((await page.locator('.message').count()) <= 100)
      await page.getByRole('button', { name: 'Show 9940 earlier messages' }).click()
      await page.locator('.message', { hasText: 'text 9750' }).waitFor()
    })
  })

  test('answering again makes a second version, and both stay', () =>
    open(async page => {
      await send(page, 'say once')
      await answered(page)
      await page.getByRole('button', { name: 'Answer again' }).click()
      await page.getByText('2/2').waitFor()
      await page.getByRole('button', { name: 'Earlier version' }).click()
      await page.getByText('1/2').waitFor()
      const { messages, leaf } = await latest()
      assert.deepEqual([messages.length, messages.findIndex(({ id }) => id === leaf)], [3, 1])
    }))

  test('reasoning is folded, a tool is called and answered', () =>
    open(async page => {
      await send(page, 'think Let me see. | The answer.')
      await answered(page)
      await page.locator('details.reasoning:not([open])').waitFor()
      await page.getByRole('button', { name: 'Options' }).click()
      await page.getByLabel('Tools').fill('{')
      await page.getByText('This is not valid JSON.').waitFor()
      const tool = { type: 'function', function: { name: 'weather', parameters: { type: 'object' } } }
      await page.getByLabel('Tools').fill(JSON.stringify([tool]))
      await page.getByLabel('System prompt').click()
      await send(page, 'Weather?')
      await page.getByText('Calls the tool weather').waitFor()
      await page.getByRole('textbox', { name: 'Result of the tool' }).fill('sunny')
      await page.getByRole('button', { name: 'Send the result' }).click()
      await page.locator('.message.assistant', { hasText: 'The tool says sunny' }).waitFor()
    }))

  test('several calls of tools are answered together', () =>
    open(async page => {
      await page.getByRole('button', { name: 'Options' }).click()
      const tool = (name: string) => ({ type: 'function', function: { name, parameters: { type: 'object' } } })
      await page.getByLabel('Tools').fill(JSON.stringify([tool('weather'), tool('tide')]))
      await page.getByLabel('System prompt').click()
      await send(page, 'Weather and tide?')
      await page.getByRole('textbox', { name: 'Result of the tool 1: weather' }).fill('sunny')
      await page.getByRole('textbox', { name: 'Result of the tool 2: tide' }).fill('high')
      await page.getByRole('button', { name: 'Send the results' }).click()
      await page.locator('.message.assistant', { hasText: 'The tool says sunny and high' }).waitFor()
      assert.deepEqual(
        (await latest()).messages.map(({ role, tool_call_id }) => [role, tool_call_id]),
        [
          ['user', undefined],
          ['assistant', undefined],
          ['tool', 'call_1'],
          ['tool', 'call_2'],
          ['assistant', undefined],
        ],
      )
    }))

  test('two models answer side by side, and the choice counts in their A/B test', () =>
    open(async page => {
      await page.getByLabel('Model', { exact: true }).selectOption('alpha')
      await page.getByLabel('Compare with a second model').selectOption('beta')
      await send(page, 'say the same')
      await page.locator('.pair .message:not(.live)').nth(1).waitFor()
      await page.screenshot({ path: join(SHOTS, 'pair.png') })
      await page.reload()
      await page.locator('.pair .message:not(.live)').nth(1).waitFor()
      await page.keyboard.press('Alt+n')
      await page.getByText('What would you like to ask?').waitFor()
      await page.locator('.chat', { hasText: 'say the same' }).click()
      await page
        .locator('.pair .message', { hasText: 'beta' })
        .getByRole('button', { name: 'This one is better' })
        .click()
      await page.locator('.pair').waitFor({ state: 'detached' })
      await page.locator('[role=status]', { hasText: 'Counted.' }).waitFor()
      const { data } = await api<{ data: AbTestOut[] }>('/v1/ab_tests')
      const [base, candidate] = [data[0]!.comparisons[0]!.base, data[0]!.comparisons[0]!.candidate]
      assert.deepEqual([data[0]!.base.model, base.bad, candidate.good], ['alpha', 1, 1])
      const { messages, leaf } = await latest()
      assert.equal(messages.find(({ id }) => id === leaf)?.model, 'beta')
    }))

  test('a pair that the chat went on from is not offered again', () =>
    open(async page => {
      await page.getByLabel('Model', { exact: true }).selectOption('alpha')
      await page.getByLabel('Compare with a second model').selectOption('beta')
      await send(page, 'say either')
      await page.locator('.pair .message:not(.live)').nth(1).waitFor()
      await page.getByLabel('Compare with a second model').selectOption('')
      await send(page, 'say onwards')
      await page.locator('.message.assistant:not(.live)', { hasText: 'onwards' }).waitFor()
      await page.reload()
      await page.locator('.message.assistant', { hasText: 'onwards' }).waitFor()
      assert.equal(await page.locator('.pair').count(), 0)
    }))

  test('of two chats that are picked, the later one is shown, however slowly the other comes', () =>
    open(async page => {
      await send(page, 'say slow one')
      await answered(page)
      const slow = `/v1/chats/${(await latest()).id}`
      await page.keyboard.press('Alt+n')
      await page.getByText('What would you like to ask?').waitFor()
      await send(page, 'say quick one')
      await page.locator('.message.assistant:not(.live)', { hasText: 'quick one' }).waitFor()
      const { promise: gate, resolve: release } = Promise.withResolvers<void>()
      await page.route(`**${slow}`, async route => {
        await gate
        await route.continue()
      })
      await page.locator('.chat', { hasText: 'slow one' }).click()
      await page.locator('.chat', { hasText: 'quick one' }).click()
      await page.locator('#message').fill('say third one')
      await page.getByRole('button', { name: 'Send' }).click()
      await page.locator('.message.assistant:not(.live)', { hasText: 'third one' }).waitFor()
      const late = page.waitForResponse(response => response.url().endsWith(slow))
      release()
      await (await late).finished()
      await page.evaluate('new Promise(done => requestAnimationFrame(() => setTimeout(done)))')
      assert.equal(await page.locator('.message.assistant', { hasText: 'third one' }).count(), 1)
    }))

  test('a question is answered though another chat was opened before it was stored', () =>
    open(async page => {
      await send(page, 'say first words')
      await answered(page)
      const { promise: gate, resolve: release } = Promise.withResolvers<void>()
      await page.route('**/messages/*', async route => {
        await gate
        await route.continue()
      })
      const asked = page.waitForRequest(request => request.url().includes('/messages/'))
      await send(page, 'say second words')
      await asked
      await page.keyboard.press('Alt+n')
      await page.getByText('What would you like to ask?').waitFor()
      release()
      await page.locator('.chat', { hasText: 'first words' }).click()
      await page.locator('.message.assistant:not(.live)', { hasText: 'second words' }).waitFor()
    }))

  test('a link begins a chat with a model, or with two side by side', () =>
    open(async page => {
      await send(page, 'say something before')
      await answered(page)
      await page.evaluate("location.hash = '#compare=beta,alpha'")
      await page.getByText('What would you like to ask?').waitFor()
      assert.equal(await page.getByLabel('Model', { exact: true }).inputValue(), 'beta')
      assert.equal(await page.getByLabel('Compare with a second model').inputValue(), 'alpha')
      await send(page, 'say both')
      await page.locator('.pair .message:not(.live)').nth(1).waitFor()
      const other = await page.context().newPage()
      await other.goto(`${pages.hub.url}/#model=alpha`)
      await other.getByText('What would you like to ask?').waitFor()
      await other.locator('select option[value=beta]').first().waitFor({ state: 'attached' })
      assert.equal(await other.getByLabel('Model', { exact: true }).inputValue(), 'alpha')
      assert.equal(new URL(other.url()).hash, '')
      await other.goto(`${pages.hub.url}/#model=gone`)
      await other.getByText('There is no model “gone”').waitFor()
    }))

  test('hostile Markdown runs nothing and asks nobody', () =>
    open(async page => {
      const attacks = [
        '<script>window.hit = 1</script>',
        '<img src=x onerror="window.hit = 2">',
        '[click](javascript:window.hit=3)',
        '[data](data:text/html,<script>parent.hit=4</script>)',
        '![pixel](http://192.0.2.1/pixel.png?secret)',
        '<iframe srcdoc="<script>parent.hit=5</script>"></iframe>',
        '<svg onload="window.hit=6"><a xlink:href="javascript:hit=7">x</a></svg>',
        '<math><mtext><style><img src onerror=window.hit=8></style></mtext></math>',
        '```"><img src=x onerror=window.hit=9>\ncode\n```',
        '$\\href{javascript:window.hit=10}{x}$ $\\htmlData{x=y}{z}$',
        '<form action="http://192.0.2.1"><button>Send</button></form>',
        '<a href="//192.0.2.1" onclick="window.hit=11">x</a>',
        '| <img src=x onerror=window.hit=12> | `</code><script>hit=13</script>` |\n|---|---|\n| a | b |',
        '<base href="http://192.0.2.1/">',
      ].join('\n\n')
      await send(page, `say ${attacks}`)
      await answered(page)
      for (const link of await page.locator('.markdown a[href]').all()) {
        assert.match((await link.getAttribute('href')) ?? '', /^http:\/\/192\.0\.2\.1\/pixel/)
      }
      const found = await page.evaluate(`({
        hit: window.hit,
        elements: document.querySelectorAll('.markdown :is(script, iframe, form, svg, style, base, img, object)').length,
        handlers: [...document.querySelectorAll('.markdown *')]
          .flatMap(element => element.getAttributeNames())
          .filter(name => name.startsWith('on') || name === 'style'),
      })`)
      assert.deepEqual(found, { hit: undefined, elements: 0, handlers: [] })
    }))

  test('code is coloured and copied, formulas and tables are drawn', () =>
    open(async page => {
      await send(page, 'say ```ts\nconst a = 1\n```\n\n$e^x$ costs $5 or $6\n\n| a |\n|---|\n| b |')
      await page.locator('.hljs-keyword', { hasText: 'const' }).waitFor()
      await page.locator('math').first().waitFor()
      assert.equal(await page.locator('math').count(), 1)
      assert.equal(await page.locator('td').innerText(), 'b')
      await page.context().grantPermissions(['clipboard-read', 'clipboard-write'])
      await page.locator('.code').getByRole('button', { name: 'Copy' }).click()
      await page.getByText('Copied').waitFor()
      assert.equal(await page.evaluate('navigator.clipboard.readText()'), 'const a = 1')
    }))

  test('chats are found without diacritics, renamed, exported and deleted', () =>
    open(async page => {
      await send(page, 'Đường Trần Hưng Đạo ở đâu?')
      await answered(page)
      await page.getByLabel('Search chats').fill('duong tran')
      await page.locator('.excerpt', { hasText: 'Đường Trần Hưng Đạo' }).first().waitFor()
      assert.equal(await page.locator('.chats li').count(), 1)
      await page.getByLabel(/^Actions for/).click()
      await page.getByRole('button', { name: 'Rename' }).click()
      await page.getByRole('textbox', { name: 'Rename' }).fill('Phố cũ')
      await page.keyboard.press('Enter')
      await page.locator('.chat-title', { hasText: 'Phố cũ' }).waitFor()
      await page.getByLabel(/^Actions for/).click()
      const download = page.waitForEvent('download')
      await page.getByRole('button', { name: 'Export as Markdown' }).click()
      assert.equal((await download).suggestedFilename(), 'Phố-cũ.md')
      await page.getByLabel(/^Actions for/).click()
      await page.getByRole('button', { name: 'Delete' }).click()
      await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click()
      await page.getByText('Nothing found.').waitFor()
    }))

  test('the switch for training is off until it is turned on', () =>
    open(async page => {
      await send(page, 'say hello')
      await answered(page)
      assert.equal((await latest()).training, false)
      await page.keyboard.press('Alt+o')
      await page.getByRole('switch').click()
      await page.locator('[role=switch]:checked').waitFor()
      await page.reload()
      await answered(page)
      await page.keyboard.press('Alt+o')
      assert.equal(await page.getByRole('switch').isChecked(), true)
      assert.equal((await latest()).training, true)
    }))

  test('messages that do not fit the context are left out, and that is said', () =>
    open(async page => {
      await send(page, `say ${'long '.repeat(200)}`)
      await answered(page)
      await send(page, `say ${'more '.repeat(100)}`)
      await page.getByText(/2 earlier messages were left out/).waitFor()
    }))

  test('Vietnamese is chosen by the browser, and can be switched', () =>
    open(
      async page => {
        await page.getByRole('button', { name: 'Cuộc trò chuyện mới' }).waitFor()
        await page.getByLabel('Ngôn ngữ').selectOption('en')
        await page.getByRole('button', { name: 'New chat' }).waitFor()
        assert.equal(await page.evaluate('document.documentElement.lang'), 'en')
      },
      { locale: 'vi-VN' },
    ))

  test('two tabs see the chats of each other', () =>
    open(async page => {
      await send(page, 'say from the first tab')
      await answered(page)
      const other = await page.context().newPage()
      await other.goto(pages.hub.url)
      await other.locator('.chat-title', { hasText: 'say from the first tab' }).waitFor()
    }))

  test('a tab that is reloaded has its own chat and draft, and sees what the other one added', () =>
    open(async page => {
      await send(page, 'say first chat')
      await answered(page)
      const other = await page.context().newPage()
      await other.goto(pages.hub.url)
      await other.locator('.message.assistant', { hasText: 'first chat' }).waitFor()
      await send(other, 'say added elsewhere')
      await answered(other, 2)
      await page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
      await page.locator('.message.assistant', { hasText: 'added elsewhere' }).waitFor()
      await other.keyboard.press('Alt+n')
      await other.locator('#message').fill('a draft of the second tab')
      await page.reload()
      await page.locator('.message.assistant', { hasText: 'added elsewhere' }).waitFor()
      assert.equal(await page.locator('#message').inputValue(), '')
      await other.reload()
      await other.getByText('What would you like to ask?').waitFor()
      assert.equal(await other.locator('#message').inputValue(), 'a draft of the second tab')
    }))

  test('a message of five megabytes and an answer of as many are shown, and the page goes on', () =>
    open(async page => {
      const text = `say ${'Dòng chữ này dài vừa phải, và có rất nhiều. '.repeat(90_000)}`
      await page.evaluate(`{
        const input = document.getElementById('message')
        Object.getOwnPropertyDescriptor(HTMLTextAreaElement.prototype, 'value').set.call(input, ${JSON.stringify(text)})
        input.dispatchEvent(new Event('input', { bubbles: true }))
      }`)
      await page.locator('#message').press('Enter')
      await answered(page)
      await send(page, 'say short')
      await page.locator('.message.assistant', { hasText: 'short' }).waitFor()
    }))

  for (const [name, options] of Object.entries({
    light: { colorScheme: 'light' },
    dark: { colorScheme: 'dark' },
    contrast: { contrast: 'more', colorScheme: 'dark' },
    forced_colours: { forcedColors: 'active', colorScheme: 'dark' },
    // A window of 1280 by 1024 at 400 %, and one of 1280 by 800 at 200 %.
    zoomed: { colorScheme: 'light', viewport: { width: 320, height: 256 }, deviceScaleFactor: 2 },
    half: { colorScheme: 'dark', viewport: { width: 640, height: 400 } },
    narrow_light: { colorScheme: 'light', viewport: { width: 320, height: 640 } },
    narrow_dark: { colorScheme: 'dark', viewport: { width: 320, height: 640 } },
  })) {
    test(`${name}: readable for everyone, and nothing sticks out`, () =>
      open(async page => {
        await send(
          page,
          'say ## Plan\n\nUse `npm start`, see [docs](https://example.com):\n\n```ts\n// a comment\nexport const answer: number = 42 + "a rather long line of text that does not fit a narrow window".length\n```\n\n| River | Length |\n|---|---|\n| Mekong | 4,350 km |\n\n> quoted\n\n$$\\sum_{i=1}^n i = \\frac{n(n+1)}{2}$$',
        )
        await answered(page)
        await page.locator('math').waitFor()
        await page.locator('.hljs-comment').waitFor()
        await axe(page)
        await staysInside(page)
        await page.screenshot({ path: join(SHOTS, `${name}.png`) })
        for (const panel of ['Models', 'Options']) {
          await page.getByRole('button', { name: panel, exact: true }).click()
          await page.getByRole('complementary', { name: panel }).waitFor()
          await axe(page)
          await staysInside(page)
          await page.screenshot({ path: join(SHOTS, `${name}_${panel.toLowerCase()}.png`) })
          await page.keyboard.press('Escape')
        }
        if (name.startsWith('narrow')) {
          await page.getByRole('button', { name: 'Chats and search' }).click()
          await page.screenshot({ path: join(SHOTS, `${name}_chats.png`) })
          await axe(page)
        }
      }, options))
  }

  test('with only a toy there, the page says so, and gets a real model by a click, with progress', async () => {
    const bytes = modelBytes()
    const remote = await modelHub(closing, {
      'maker/tiny-GGUF': { 'tiny-Q4_K_M.gguf': hubFile(bytes, { etag: '"e"' }) },
    })
    const gate = Promise.withResolvers<void>()
    remote.misbehave = async (request, response, file) => {
      if (request.headers.range !== undefined) return false
      response.writeHead(200, { 'content-length': file.bytes.length, etag: '"e"' })
      response.write(file.bytes.subarray(0, file.bytes.length / 2))
      await gate.promise
      response.end(file.bytes.subarray(file.bytes.length / 2))
      return true
    }
    const own = await pagesHub(closing, { models: { starter: { toy: true } }, env: { HF_ENDPOINT: remote.url } })
    for (const [theme, locale] of [
      ['light', 'en-US'],
      ['dark', 'vi-VN'],
    ] as const) {
      const { page, outside, mistakes } = await visit(browser, own.hub.url, { colorScheme: theme, locale })
      const vi = locale === 'vi-VN'
      await page
        .getByText(vi ? 'Hiện chỉ có mô hình khởi đầu rất nhỏ.' : 'Only the small starter model is here.')
        .waitFor()
      await page.screenshot({ path: join(SHOTS, `toy_${theme}.png`) })
      await page.getByText(vi ? 'Tải mô hình về' : 'Get a model', { exact: true }).click()
      await page.getByText(/Qwen/).first().waitFor()
      await axe(page)
      await page.screenshot({ path: join(SHOTS, `get_model_${theme}.png`) })
      const other = page.locator('.notice .get-other')
      if (vi) {
        // What is under way is there for a second page as well.
        const row = page.locator('.notice .pulls li', { hasText: 'tiny-Q4_K_M' })
        await row.getByRole('button', { name: 'Tải tiếp tiny-Q4_K_M' }).click()
        await page.locator('option[value="tiny-Q4_K_M"]').first().waitFor({ state: 'attached' })
      } else {
        await other.getByRole('textbox').fill('nonsense')
        await other.getByRole('button').click()
        await page.getByText(/none of the suggestions/).waitFor()
        await other.getByRole('textbox').fill('hf:maker/tiny-GGUF')
        await other.getByRole('button').click()
        const row = page.locator('.notice .pulls li', { hasText: 'tiny-Q4_K_M' })
        await row.locator('progress[value]').waitFor()
        await page.getByRole('button', { name: 'Models' }).click()
        await page.locator('.panel .get-model').getByText('Qwen').first().waitFor()
        await axe(page)
        await page.screenshot({ path: join(SHOTS, `pulling_${theme}.png`) })
        await row.getByRole('button', { name: 'Cancel tiny-Q4_K_M' }).click()
        await row.getByText('stopped').waitFor()
        gate.resolve()
      }
      assert.deepEqual({ outside, mistakes }, { outside: [], mistakes: [] })
      await page.screenshot({ path: join(SHOTS, `pulled_${theme}.png`) })
      await page.context().close()
    }
    assert.ok(remote.seen.some(({ range }) => range !== undefined))
    assert.equal(own.hub.models.get('tiny-Q4_K_M').file.status, 'ok')
  })

  test('a real worker is loaded, answers, and is unloaded from the panel', async () => {
    const own = await pagesHub(closing, { scripted: false, models: { tiny: {} } })
    const { page, mistakes } = await visit(browser, own.hub.url)
    await page.getByRole('button', { name: 'Options' }).click()
    await page.getByLabel('Token limit of an answer').fill('8')
    await page.getByLabel('Seed').fill('7')
    await page.getByLabel('System prompt').click()
    await send(page, 'Hello')
    await answered(page)
    await page.getByText('8 tokens ·').waitFor()
    await page.getByText('The answer reached its token limit.').waitFor()
    await page.getByRole('button', { name: 'Models', exact: true }).click()
    await page.getByRole('button', { name: 'Unload tiny' }).click()
    await page.getByRole('button', { name: 'Load tiny', exact: true }).click()
    await page.getByRole('button', { name: 'Unload tiny' }).waitFor()
    assert.deepEqual(mistakes, [])
    await page.context().close()
  })

  test('an answer by a JSON schema is laid out', () =>
    open(async page => {
      await page.getByRole('button', { name: 'Options' }).click()
      await page.getByLabel('JSON schema of the answers').fill('{"type":"object"}')
      await page.getByLabel('System prompt').click()
      await send(page, 'say {"river":"Hương","km":80}')
      await page.getByText('valid JSON').waitFor()
      assert.equal(await page.locator('.message.assistant code').innerText(), '{\n  "river": "Hương",\n  "km": 80\n}')
    }))

  test('the Tab key reaches everything, in order, each with a name and a sign that it has the keyboard', () =>
    open(async page => {
      await send(page, 'say ```ts\nlet a\n```\n\n| a |\n|---|\n| b |')
      await answered(page)
      await page.keyboard.press('Alt+o')
      await page.getByRole('complementary', { name: 'Options' }).waitFor()
      await page.evaluate("document.querySelector('.skip').focus()")
      const seen: string[] = ['To the message box']
      for (let presses = 0; presses < 150; presses++) {
        await page.keyboard.press('Tab')
        const found = (await page.evaluate(`(() => {
          const one = document.activeElement
          if (one === document.body) return ''
          const label = one.labels?.[0]?.innerText || one.getAttribute('aria-label') || one.innerText
          const { outlineStyle } = getComputedStyle(one)
          const box = getComputedStyle(one.closest('.composer-box') ?? one)
          const shown = outlineStyle !== 'none' || box.outlineStyle !== 'none'
          return (shown ? '' : 'NOT SHOWN ') + (label?.trim() || 'NO NAME ' + one.outerHTML.slice(0, 80))
        })()`)) as string
        if (found === '') break
        seen.push(found.split('\n', 1)[0]!)
      }
      assert.deepEqual(
        seen.filter(name => name.startsWith('NO')),
        [],
      )
      const order = [
        'To the message box',
        'New chat',
        'Search chats',
        'Language',
        'Model',
        'Options',
        'Copy',
        'Write a message',
        'System prompt',
        'Seed',
        'Tools',
      ]
      const places = order.map(name => seen.findIndex(one => one.startsWith(name)))
      assert.deepEqual(
        places,
        places.toSorted((a, b) => a - b),
        seen.join(' > '),
      )
      assert.ok(places[0] === 0 && !places.includes(-1), seen.join(' > '))
    }))

  test('the keyboard is never lost: behind an edit, a new name and a deletion it has a place', () =>
    open(async page => {
      await send(page, 'say keep the keyboard')
      await answered(page)
      const holder = () => page.evaluate('document.activeElement.id || document.activeElement.className')
      await page.getByRole('button', { name: 'Edit' }).click()
      await page.keyboard.press('Escape')
      assert.equal(await holder(), 'message')
      await page.getByLabel('Actions for say keep the keyboard').first().click()
      await page.getByRole('button', { name: 'Rename' }).click()
      await page.getByRole('textbox', { name: 'Rename' }).press('Escape')
      await page.locator('.chat:focus').waitFor()
      await page.getByLabel('Actions for say keep the keyboard').first().click()
      await page.getByRole('button', { name: 'Delete' }).click()
      await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click()
      await page.getByText('What would you like to ask?').waitFor()
      assert.equal(await holder(), 'message')
    }))

  test('a message can be sent and stopped by keyboard alone', () =>
    open(async page => {
      await page.keyboard.press('Alt+i')
      await page.keyboard.type('forever')
      await page.keyboard.press('Enter')
      await page.locator('.message.live', { hasText: 'word1' }).waitFor()
      await page.keyboard.press('Escape')
      await answered(page)
      await page.keyboard.press('Alt+n')
      await page.getByText('What would you like to ask?').waitFor()
      assert.equal(await page.evaluate('document.activeElement.id'), 'message')
    }))
})

/** Nothing but code, tables and formulas, which scroll by themselves, is wider than where it stands. */
async function staysInside(page: Page): Promise<void> {
  const wide = await page.evaluate(`
    [document.documentElement, ...document.querySelectorAll('header, main, .scroller, .panel, .sidebar, .composer')]
      .filter(element => element.scrollWidth > element.clientWidth + 1)
      .map(element => element.className || element.tagName)`)
  assert.deepEqual(wide, [])
}

/** What axe finds wrong by WCAG 2.1 A and AA. */
async function axe(page: Page): Promise<void> {
  // The page's own policy lets no script in; the debugger may.
  await page.evaluate(readFileSync(AXE, 'utf8'))
  const found = await page.evaluate(`
    axe.run({ runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa'] }).then(({ violations }) =>
      violations.map(({ id, nodes }) => id + ': ' + nodes.map(({ html }) => html.slice(0, 120)).join(' | ')))`)
  assert.deepEqual(found, [])
}
