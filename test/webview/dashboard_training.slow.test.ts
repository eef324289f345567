/** The training tabs in a real browser against a real hub: from a file to a judged adapter, steered, looked at, and attacked. */
import assert from 'node:assert/strict'
import { mkdirSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import type { Browser, BrowserContextOptions, Page } from 'playwright-core'
import type { AdapterOut } from '../../server/wire/adapter.ts'
import type { DatasetOut } from '../../server/wire/dataset.ts'
import type { TrainingJobOut } from '../../server/wire/training.ts'
import { RANDOM_CHAT } from '../helpers/real_hub.ts'
import { needBrowser, openBrowser, type PagesHub, pagesHub, visit } from './browser.ts'

const SHOTS = join(import.meta.dirname, 'shots')
const AXE = createRequire(import.meta.url).resolve('axe-core/axe.min.js')
const HOSTILE = '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>[x](javascript:window.hacked=1)'
/** Training and evaluation share the machine's cores with other tests. */
const PATIENCE_MS = 300_000
const SECRET = 'ghp_aB3dE5fG7hI9jK1lM3nO5pQ7rS9tU1vW3xY5'

const line = (question: string, answer: string): string =>
  JSON.stringify({
    messages: [
      { role: 'user', content: question },
      { role: 'assistant', content: answer },
    ],
  })
const sums = (from: number, count: number): string[] =>
  Array.from({ length: count }, (_, i) => line(`What is ${from + i} plus one?`, `It is ${from + i + 1}, of course.`))
const DATA = [
  line('What is hostile?', HOSTILE),
  ...sums(0, 100),
  sums(0, 1)[0]!,
  line('What is my key?', `Your key is ${SECRET}, keep it well.`),
  line('Con sông nào chảy qua Huế?', 'Sông Hương chảy qua thành phố Huế.'),
].join('\n')

describe('the training tabs of the dashboard', needBrowser(), () => {
  const closers: (() => Promise<void> | void)[] = []
  const closing = { after: (close: () => Promise<void> | void) => void closers.push(close) }
  let browser: Browser
  let pages: PagesHub
  before(async () => {
    mkdirSync(SHOTS, { recursive: true })
    browser = await openBrowser(closing)
    pages = await pagesHub(closing, {
      scripted: false,
      models: { tiny: {} },
      model: { ...RANDOM_CHAT, embedding: 32, feedForward: 64 },
    })
  })
  after(async () => {
    for (const close of closers.reverse()) await close()
  })
  const api = async <T>(path: string): Promise<T> => (await fetch(pages.hub.url + path)).json() as Promise<T>
  const newestJob = async (): Promise<TrainingJobOut> =>
    (await api<{ data: TrainingJobOut[] }>('/v1/training/status?limit=1')).data[0]!

  /** A page at a route of the dashboard, which must end without a mistake and without a request to another place. */
  const open = async (route: string, use: (page: Page) => Promise<void>, options: BrowserContextOptions = {}) => {
    const url = `${pages.hub.url}/dashboard#${route}`
    const { page, outside, mistakes } = await visit(browser, url, options, seen => seen.locator('.training').waitFor())
    try {
      await use(page)
      assert.equal(await page.evaluate('window.hacked'), undefined)
      assert.deepEqual({ outside, mistakes }, { outside: [], mistakes: [] })
    } finally {
      await page.context().close()
    }
  }
  const button = (page: Page, name: string | RegExp) =>
    page.getByRole('button', { name, exact: typeof name === 'string' })

  test('an empty page says the next step; data is checked, imported, reported and browsed', () =>
    open('datasets', async page => {
      await page.getByText('There is no dataset yet.').waitFor()
      await button(page, 'Import data').click()
      await page
        .getByLabel('File', { exact: true })
        .setInputFiles({ name: 'Số học.jsonl', mimeType: 'application/jsonl', buffer: Buffer.from(DATA) })
      assert.equal(await page.getByLabel('Name of the dataset').inputValue(), 'So-hoc')
      await page.getByLabel('Name of the dataset').fill('sums')
      await page.getByText('More options').click()
      await page.getByLabel('Training', { exact: true }).fill('60')
      await page.getByLabel('Validation', { exact: true }).fill('10')
      await page.getByLabel('Test', { exact: true }).fill('10')
      await page.getByLabel('Nearly the same as an earlier sample').uncheck()
      await button(page, 'Check first').click()
      await page.getByText('Checked. Nothing was written.').waitFor()
      await page.locator('.findings', { hasText: 'Keys, tokens and passwords' }).waitFor()
      assert.deepEqual((await api<{ data: DatasetOut[] }>('/v1/training/datasets')).data, [])

      await button(page, 'Import').click()
      await page.getByText('The shares must add up to 100.').waitFor()
      await page.getByLabel('Test', { exact: true }).fill('30')
      await button(page, 'Import').click()
      await page.getByRole('heading', { name: 'sums' }).waitFor()
      const [dataset] = (await api<{ data: DatasetOut[] }>('/v1/training/datasets')).data
      assert.ok(dataset!.counts.train > 40 && dataset!.counts.test > 15 && dataset!.counts.validation > 3)
      const findings = page.locator('.findings')
      await findings.getByText('Same text as an earlier sample').waitFor()
      const secret = findings.locator('li', { hasText: 'Keys, tokens and passwords' }).first()
      await secret.getByText('1 masked and kept.').waitFor()
      await secret.getByText('Examples').click()
      assert.ok(!(await page.content()).includes(SECRET))
      await page.screenshot({ path: join(SHOTS, 'training-report.png'), fullPage: true })

      await button(page, 'Samples').click()
      await page.getByLabel('Search in the samples').fill('sông hương')
      await page.getByLabel('Part', { exact: true }).selectOption(await partOf(api, 'sông hương'))
      await page.getByText('Sông Hương chảy qua thành phố Huế.').waitFor()
      assert.equal(await page.locator('article').count(), 1)
      await page.getByLabel('Search in the samples').fill('hostile')
      await page.getByLabel('Part', { exact: true }).selectOption(await partOf(api, 'hostile'))
      await page.locator('article pre', { hasText: '<script>' }).waitFor()
      await page.getByLabel('Search in the samples').fill('')
      await page.getByLabel('Part', { exact: true }).selectOption('train')
      await page.getByLabel('How a model reads it').selectOption('tiny')
      await page.getByText('1 to 10', { exact: true }).last().waitFor()
      await button(page, 'How a model reads it: Show').first().click()
      await page.locator('.preview mark').first().waitFor()
      const learned = await page.locator('.preview mark').first().innerText()
      const whole = await page.locator('.preview pre').first().innerText()
      assert.ok(whole.includes('<|im_start|>user') && !learned.includes('<|im_start|>user'))
      await page.screenshot({ path: join(SHOTS, 'training-samples.png') })
      await button(page, 'Later').click()
      await page.getByText('11 to 20', { exact: true }).last().waitFor()
    }))

  test('a second version is compared with the first', () =>
    open('datasets/sums', async page => {
      await button(page, 'Import more').click()
      await page.getByLabel('Where it comes from').selectOption('text')
      await page.getByLabel('Text', { exact: true }).fill(sums(500, 20).join('\n'))
      await button(page, 'Import').click()
      await page.getByLabel('Version', { exact: true }).waitFor()
      await button(page, 'Compare versions').click()
      await button(page, 'Compare').click()
      await page.getByText('From version 1 to version 2').waitFor()
      const added = await page.locator('tbody tr td:nth-child(2)').allInnerTexts()
      assert.equal(
        added.reduce((sum, text) => sum + Number(text), 0),
        20,
      )
    }))

  test('a run: its plan first, then live curves, a pause, its answers, and a model that is used', () =>
    open('datasets/sums', async page => {
      await button(page, 'Train on it').click()
      await page.getByLabel('Name of the adapter').fill('plus')
      await page.getByLabel('Epochs').fill('15')
      await page.getByLabel('Samples per step').fill('4')
      await page.getByLabel('Learning rate', { exact: true }).fill('0.005')
      await page.getByLabel('Patience, validations').fill('0')
      await page.getByText('More hyperparameters').click()
      await page.getByLabel('Steps between checkpoints').fill('20')
      await page.getByLabel('Steps between validations').fill('20')
      await button(page, 'Show the plan').click()
      await page.getByText('Nothing has started.').waitFor()
      await page.getByRole('row', { name: /Learning rate 0\.005 as asked/ }).waitFor()
      assert.deepEqual((await api<{ data: unknown[] }>('/v1/training/status')).data, [])
      await page.screenshot({ path: join(SHOTS, 'training-plan.png'), fullPage: true })

      await button(page, 'Yes, start the run').click()
      await page
        .getByText(/Step \d+ of/)
        .first()
        .waitFor()
      await page.locator('.canvas canvas').first().waitFor()
      await button(page, 'Pause').click()
      await page.getByText('It is safe to close everything.').waitFor()
      const paused = await newestJob()
      assert.equal(paused.status, 'paused')
      await page.screenshot({ path: join(SHOTS, 'training-paused.png'), fullPage: true })
      await button(page, 'Ask now').click()
      await page.locator('.answers').first().waitFor()
      await button(page, 'Resume').click()
      await page.getByText('tiny:plus is ready.').waitFor({ timeout: PATIENCE_MS })
      const done = await newestJob()
      assert.deepEqual([done.status, done.result_model], ['succeeded', 'tiny:plus'])
      await page.screenshot({ path: join(SHOTS, 'training-run.png'), fullPage: true })

      await page.getByRole('link', { name: 'Use it in the chat' }).click()
      await page.waitForURL(url => url.pathname === '/')
      await chosen(page, 'Model', 'tiny:plus')
      await page.goBack()
      await page.getByRole('link', { name: 'Compare side by side' }).click()
      await chosen(page, 'Compare with a second model', 'tiny:plus')
      await chosen(page, 'Model', 'tiny')
    }))

  /** From a filled form to the run that it begins. */
  const begin = async (page: Page): Promise<void> => {
    await button(page, 'Show the plan').click()
    await button(page, 'Yes, start the run').click()
  }
  /** Presses the button, and yes in the dialog that asks. */
  const agree = async (page: Page, name: string | RegExp, yes: string): Promise<void> => {
    await button(page, name).first().click()
    await page.locator('dialog[open]').getByRole('button', { name: yes, exact: true }).click()
  }

  test('a run of the same name keeps the older version, and both are drawn in one picture', () =>
    open('training/.new/sums', async page => {
      await page.getByLabel('Name of the adapter').fill('plus')
      await page.getByLabel('Keep an adapter of that name as an older version').check()
      await page.getByLabel('Compare with the base afterwards').uncheck()
      await page.getByLabel('Epochs').fill('2')
      await begin(page)
      await page.getByText('tiny:plus is ready.').waitFor({ timeout: PATIENCE_MS })
      await page.getByText('Compare with other runs').click()
      await page.locator('.checks').getByLabel(/^plus/).check()
      await page
        .locator('.legend')
        .first()
        .getByText(/Validation loss, plus \(/)
        .waitFor()

      // With the keyboard alone: closer, to the right, and back to the whole.
      const chart = page.getByRole('group', { name: 'Loss by step' })
      const isZoomed = (zoomed: boolean) =>
        chart.locator(`[aria-label="Whole run: Loss by step"][aria-disabled="${!zoomed}"]`).waitFor()
      await isZoomed(false)
      await chart.getByRole('button', { name: 'Zoom in: Loss by step' }).focus()
      await page.keyboard.press('+')
      await isZoomed(true)
      await page.keyboard.press('ArrowRight')
      await page.keyboard.press('0')
      await isZoomed(false)
      const box = (await chart.locator('.u-over').boundingBox())!
      await page.mouse.move(box.x + 30, box.y + 60)
      await page.mouse.down()
      await page.mouse.move(box.x + 150, box.y + 60, { steps: 4 })
      await page.mouse.up()
      await isZoomed(true)
      await page.mouse.dblclick(box.x + 60, box.y + 60)
      await isZoomed(false)
      await chart.getByText('The figures as a table').click()
      await chart.locator('tbody tr').nth(1).waitFor()
      // For those who do not see the picture.
      assert.match(await chart.locator('ul.hidden').innerText(), /Loss, plus: from [\d.]+ to [\d.]+ at step \d+/)

      await page.getByText('The job succeeded: tiny:plus can be used.').waitFor()
      const [adapter] = (await api<{ data: AdapterOut[] }>('/v1/training/adapters')).data
      assert.deepEqual([adapter!.id, adapter!.version, adapter!.versions.length], ['tiny:plus', 2, 1])
    }))

  test('a run is cancelled, and what it answers is asked while it goes on', () =>
    open('training/.new/sums', async page => {
      await page.getByLabel('Name of the adapter').fill('long')
      await page.getByLabel('Epochs').fill('900')
      await page.getByText('More hyperparameters').click()
      await page.getByLabel('Steps between checkpoints').fill('5')
      await begin(page)
      await page.getByLabel('Ask again at every checkpoint').check()
      // The base is loaded since its tokens were counted: nobody has to ask.
      await page.locator('.answers').nth(3).waitFor({ state: 'attached' })
      const first = page.locator('.answers').first()
      assert.match(await first.innerText(), /Question\n+What is \d+ plus one\?\n+In the data\n+It is \d+, of course\./)
      await agree(page, 'Cancel the run', 'Cancel the run')
      await page.locator('.standing .badge', { hasText: 'cancelled' }).waitFor()
      await button(page, 'Resume').waitFor()
      assert.equal((await newestJob()).status, 'cancelled')
    }))

  test('a search for hyperparameters shows its trials, the best one marked', async () => {
    const response = await fetch(`${pages.hub.url}/v1/training/search`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ model_name: 'tiny', dataset: 'sums', name: 'found', first_steps: 1, train: false }),
    })
    const { id } = (await response.json()) as TrainingJobOut
    await open(`training/${id}`, async page => {
      await page.getByText('The search is done.').waitFor({ timeout: PATIENCE_MS })
      await page.getByText('Trials of the search').click()
      assert.ok((await page.locator('.scroll tbody tr').count()) > 1)
      assert.equal(await page.locator('.scroll tbody .badge', { hasText: 'best' }).count(), 1)
    })
  })

  test('an evaluation says whether it is better, with its interval', () =>
    open('adapters', async page => {
      await button(page, 'New evaluation').click()
      assert.equal(await page.getByLabel('Compared with').inputValue(), 'tiny')
      assert.equal(await page.getByLabel('Candidate').inputValue(), 'tiny:plus')
      await page.getByLabel('Most samples').fill('20')
      await button(page, 'Start the evaluation').click()
      await page.locator('.verdict').waitFor({ timeout: PATIENCE_MS })
      const loss = page.locator('.metrics li', { hasText: 'Loss of the answers' })
      assert.match(await loss.innerText(), /difference [+−][\d.]+, with [\d.]+% between [+−]?[\d.]+ and [+−]?[\d.]+/)
      assert.equal(await loss.locator('svg.interval').count(), 1)
      await page.getByText('Fixed questions', { exact: true }).click()
      assert.ok((await page.locator('tbody tr').count()) > 20)
      await page.screenshot({ path: join(SHOTS, 'training-evaluation.png'), fullPage: true })
    }))

  test('votes of the chat page are shown with their interval, and a test is stopped', async () => {
    const post = (path: string, body: object) =>
      fetch(pages.hub.url + path, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
      }).then(response => response.json() as Promise<{ id: string }>)
    const models = { base: { model: 'tiny' }, candidate: { model: 'tiny:plus' } }
    const { id } = await post('/v1/ab_tests', { name: 'side', ...models })
    for (const [signal, model] of [
      ['good', 'tiny:plus'],
      ['bad', 'tiny'],
    ]) {
      await post(`/v1/ab_tests/${id}/votes`, { signal, model })
    }
    await open('adapters', async page => {
      const row = page.locator('.metrics li', { hasText: 'tiny:plus / tiny' })
      await row.getByText('1 good, 0 bad').waitFor()
      await agree(page, 'Stop: tiny:plus / tiny', 'Stop')
      await row.getByText('stopped').waitFor()
    })
  })

  test('an adapter is described, exported, merged, rolled back and deleted', () =>
    open(
      'adapters/tiny:plus',
      async page => {
        await button(page, 'Copy the model name').click()
        await page.getByText('Copied', { exact: true }).waitFor()
        assert.equal(await page.evaluate('navigator.clipboard.readText()'), 'tiny:plus')
        await page.getByText('Settings of the adapter').click()
        await page.getByLabel('Description').fill(HOSTILE)
        await page.getByLabel('Strength').fill('0.5')
        await button(page, 'Save').click()
        await page.getByLabel('Strength').and(page.locator('[value="0.5"]')).waitFor({ state: 'attached' })
        const card = async () => (await api<AdapterOut>('/v1/training/adapters/tiny:plus')).card
        assert.equal((await card()).description, HOSTILE)
        await page.locator('p', { hasText: '<script>' }).waitFor()
        assert.equal((await card()).scale, 0.5)

        await page.getByText('Export for PEFT').first().click()
        await button(page, 'Export for PEFT').click()
        await page.getByText(/^Written to .*\.$/).waitFor()
        await page.getByText('Merge into a model').first().click()
        await button(page, 'Merge into a model').click()
        await page.getByText(/^tiny-plus is there/).waitFor()

        await agree(page, 'Roll back to it: version 1', 'Roll back to it')
        await page.getByText('Version 1 is in use now.').waitFor()
        await page.screenshot({ path: join(SHOTS, 'training-adapter.png'), fullPage: true })
        await agree(page, 'Delete the adapter', 'Delete the adapter')
        await page.getByText('There is no adapter yet.').waitFor()
      },
      { permissions: ['clipboard-read', 'clipboard-write'] },
    ))

  for (const [name, options] of Object.entries<BrowserContextOptions>({
    light: { colorScheme: 'light', viewport: { width: 1280, height: 1900 } },
    dark: { colorScheme: 'dark', viewport: { width: 1280, height: 1900 } },
    contrast: { contrast: 'more', colorScheme: 'dark', viewport: { width: 1280, height: 1900 } },
    narrow_light: { colorScheme: 'light', viewport: { width: 320, height: 1900 } },
    narrow_dark: { colorScheme: 'dark', viewport: { width: 320, height: 1900 }, locale: 'vi-VN' },
  })) {
    test(`${name}: readable for everyone, and nothing sticks out`, async () => {
      const { data } = await api<{ data: TrainingJobOut[] }>('/v1/training/status')
      const run = data.find(({ name: made }) => made === 'plus')!
      const routes = {
        list: 'datasets',
        report: 'datasets/sums',
        import: 'datasets/.import',
        runs: 'training',
        new: 'training/.new/sums',
        run: `training/${run.id}`,
        adapters: 'adapters',
      }
      await open(
        routes.list,
        async page => {
          for (const [place, route] of Object.entries(routes)) {
            await page.evaluate(`location.hash = ${JSON.stringify(route)}`)
            if (place === 'run') await page.locator('canvas').nth(1).waitFor()
            else if (place === 'report') {
              await page.locator('.columns select').selectOption('1')
              await page.locator('.findings > li').nth(1).waitFor()
            } else if (place === 'adapters') await page.locator('.metrics li').first().waitFor()
            else await page.locator('.form, .cards li').first().waitFor()
            await page.evaluate("document.querySelectorAll('.training details').forEach(each => { each.open = true })")
            await axe(page)
            await staysInside(page)
            await page.screenshot({ path: join(SHOTS, `training-${name}-${place}.png`) })
          }
        },
        options,
      )
    })
  }

  test('a dataset is deleted after a question, which the Escape key answers with no', () =>
    open('datasets/sums', async page => {
      await button(page, 'Delete').click()
      await page.keyboard.press('Escape')
      assert.equal(await page.locator('dialog[open]').count(), 0)
      await agree(page, 'Delete', 'Delete')
      await page.getByText('There is no dataset yet.').waitFor()
      assert.deepEqual((await api<{ data: unknown[] }>('/v1/training/datasets')).data, [])
    }))
})

/** What axe finds wrong by WCAG 2.1 A and AA. */
async function axe(page: Page): Promise<void> {
  // The page's own policy lets no script in; the debugger may.
  await page.evaluate(readFileSync(AXE, 'utf8'))
  const found = await page.evaluate(`
    axe.run({ runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa'] }).then(({ violations }) =>
      violations.map(({ id, nodes }) => id + ': ' + nodes.map(({ html }) => html.slice(0, 160)).join(' | ')))`)
  assert.deepEqual(found, [])
}

/** Nothing is wider than the window, but what scrolls by itself. */
async function staysInside(page: Page): Promise<void> {
  const wide = await page.evaluate(`[...document.querySelectorAll('.training *')]
    .filter(element => !element.closest('.scroll, .log, .canvas, .hidden, dialog'))
    .filter(element => element.getBoundingClientRect().right > innerWidth + 1)
    .map(element => element.outerHTML.slice(0, 120))`)
  assert.deepEqual(wide, [])
}

/** Waits until a list has this choice. */
const chosen = (page: Page, label: string, value: string): Promise<void> =>
  page.locator(`select[aria-label="${label}"] option[value="${value}"]:checked`).waitFor({ state: 'attached' })

/** Which part holds a sample with this text. */
async function partOf(api: <T>(path: string) => Promise<T>, search: string): Promise<string> {
  for (const part of ['train', 'validation', 'test']) {
    const query = new URLSearchParams({ part, search, limit: '1' })
    const { samples } = await api<{ samples: unknown[] }>(`/v1/training/datasets/sums?${query}`)
    if (samples.length > 0) return part
  }
  throw new Error(`no sample has ${search}`)
}
