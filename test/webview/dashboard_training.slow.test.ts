/** The training tabs in a real browser against a real hub: from a file to a judged adapter, steered, looked at, and attacked. */
import assert from 'node:assert/strict'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import type { Browser, BrowserContextOptions, Page } from 'playwright-core'
import type { DatasetOut } from '../../server/wire/dataset.ts'
import type { TrainingJobOut } from '../../server/wire/training.ts'
import { RANDOM_CHAT } from '../helpers/real_hub.ts'
import { needBrowser, openBrowser, type PagesHub, pagesHub, visit } from './browser.ts'

const SHOTS = join(import.meta.dirname, 'shots')
const HOSTILE = '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>[x](javascript:window.hacked=1)'
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
      await page.getByText('tiny:plus is ready.').waitFor()
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
})

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
