/** What the documents say exists, exists; and what exists is said. */
import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { test } from 'node:test'
import * as z from 'zod'
import { helpText, parseCommandLine } from '../server/cli/args.ts'
import { startHub } from '../server/hub.ts'
import { ChatRequest } from '../server/wire/chat.ts'
import { CompletionRequest, InfillRequest } from '../server/wire/completions.ts'
import { EmbeddingRequest } from '../server/wire/embeddings.ts'
import { HubEvent } from '../server/wire/events.ts'
import { ModelFolder, Sidecar } from '../server/wire/model.ts'
import { ResponsesRequest } from '../server/wire/responses.ts'
import { SETTING_NAMES, Settings } from '../server/wire/settings.ts'
import { DEFAULTS } from '../server/worker/sampling.ts'

const ROOT = resolve(import.meta.dirname, '..')
const read = (file: string): string => readFileSync(join(ROOT, file), 'utf8')
const README = read('README.md')
const section = (title: string): string => README.split(`\n## ${title}\n`)[1]?.split('\n## ')[0] ?? ''
/** First cells of the tables of a section, without their marks; the heading and the rule left out. */
const firstCells = (text: string): string[] => [...text.matchAll(/^\| `([^|]+)` \|/gm)].map(match => match[1] ?? '')

test('the code map names every room of server/, and no other', () => {
  const rooms = readdirSync(join(ROOT, 'server'), { withFileTypes: true })
    .filter(entry => entry.isDirectory())
    .map(entry => `server/${entry.name}`)
  assert.deepEqual(firstCells(section('Code map')).sort(), rooms.sort())
})

test('every npm script and file that the documents name is there', () => {
  const { scripts }: { scripts: { [name: string]: string } } = JSON.parse(read('package.json'))
  for (const file of ['README.md', 'CONTRIBUTING.md', '.ci/run', '.github/workflows/check.yml']) {
    const text = read(file)
    for (const [, run, name] of text.matchAll(/\bnpm (run )?([a-z]+)/g)) {
      if (run === undefined && !['start', 'test'].includes(name ?? '')) continue
      assert.ok(scripts[name ?? ''] !== undefined, `${file} names "npm ${run ?? ''}${name}"`)
    }
    for (const [, path] of text.matchAll(/`((?:server|test|\.ci|local_models|training_data)\/[\w./-]*\.?\w*)`/g)) {
      if (path === undefined || /[A-Z]{4}/.test(path)) continue
      assert.ok(existsSync(join(ROOT, path)), `${file} names ${path}`)
    }
    for (const [, path] of text.matchAll(/\]\((?!http)([^)#]+)\)/g)) {
      assert.ok(existsSync(join(ROOT, path ?? '')), `${file} links to ${path}`)
    }
  }
})

test('the test command of .ci/run is the one that README gives', () => {
  const command = /^npm ci && npm test$/m
  assert.match(read('.ci/run'), command)
  assert.match(README, /^npm ci && npm test\b/m)
})

test('the commands are those of the command line', () => {
  const named = firstCells(section('Command line')).map(cell => cell.replace('ai-hub ', ''))
  const known = [...helpText('0').matchAll(/^ {2}(\w+) /gm)].map(match => match[1])
  assert.deepEqual(named.sort(), known.sort())
  for (const [, line] of README.matchAll(/npx ai-hub ([a-z][^\n`#]*)/g)) {
    // "a question" is one word.
    const words = [...(line ?? '').matchAll(/"([^"]*)"|(\S+)/g)].map(([, quoted, bare]) => quoted ?? bare ?? '')
    assert.doesNotThrow(() => parseCommandLine(words), `README shows "ai-hub ${line}"`)
  }
})

test('the settings are all there, with their defaults', () => {
  const rows = [...section('Settings').matchAll(/^\| `(\w+)` \| ([^|]+) \|/gm)].map(match => [match[1], match[2]])
  assert.deepEqual(rows.map(([name]) => name).sort(), [...SETTING_NAMES].sort())
  const defaults = Settings.parse({})
  for (const [name, shown] of rows) {
    const setting = SETTING_NAMES.find(known => known === name)
    assert.ok(setting)
    const value = defaults[setting]
    if (setting !== 'home')
      assert.equal(shown, Array.isArray(value) && value.length === 0 ? 'none' : String(value), name)
  }
})

test('the endpoints are those that a running hub serves', async t => {
  const home = mkdtempSync(join(tmpdir(), 'ai-hub-readme-'))
  t.after(() => rmSync(home, { recursive: true, force: true, maxRetries: 5 }))
  const hub = await startHub({ home, commandLine: { port: '0' }, env: {}, logSinks: [] })
  t.after(() => hub.close())
  await hub.ready
  const answer = await fetch(`${hub.url}/openapi.json`)
  const { paths } = z
    .object({ paths: z.record(z.string(), z.record(z.string(), z.unknown())) })
    .parse(await answer.json())
  const served = Object.entries(paths).flatMap(([path, methods]) =>
    Object.keys(methods)
      .filter(method => /^(get|post|put|patch|delete)$/.test(method))
      .map(method => `${method.toUpperCase()} ${path}`),
  )
  assert.deepEqual(firstCells(section('HTTP API').split('\n### ')[0] ?? '').sort(), served.sort())
})

test('the events are those of the socket', () => {
  const table = section('HTTP API').split('\n### Events\n')[1]?.split('\n### ')[0] ?? ''
  const said = firstCells(table).filter(cell => cell !== 'type')
  assert.deepEqual(said.sort(), HubEvent.options.map(option => option.shape.type.value as string).sort())
})

test('every parameter that is not refused is named', () => {
  const text = section('HTTP API')
  const schemas = { ChatRequest, CompletionRequest, EmbeddingRequest, InfillRequest, ResponsesRequest }
  for (const [name, schema] of Object.entries(schemas)) {
    for (const [key, field] of Object.entries<z.ZodType>(schema.shape)) {
      // A refused parameter is an optional null, see `refused` of wire/common.ts.
      if (field instanceof z.ZodOptional && field.unwrap() instanceof z.ZodNull) continue
      assert.ok(text.includes(`\`${key}\``), `${name} takes ${key}, README does not say so`)
    }
  }
})

test('the defaults of the engine are the ones in the table', () => {
  const text = section('HTTP API')
  assert.ok(text.includes(`| \`temperature\` | ${DEFAULTS.temperature} |`))
  assert.ok(text.includes(`| \`top_k\` | ${DEFAULTS.topK} |`))
  assert.ok(text.includes(`| \`top_p\` | ${DEFAULTS.topP} |`))
  assert.ok(text.includes(`| \`min_p\` | ${DEFAULTS.minP} |`))
  assert.ok(text.includes(`| ${DEFAULTS.repeatPenalty}, ${DEFAULTS.repeatLastN} |`))
  assert.ok(text.includes(`| 0, ${DEFAULTS.dryBase}, ${DEFAULTS.dryAllowedLength} |`))
  assert.ok(text.includes(`| ${DEFAULTS.dryPenaltyLastN}; line end`))
})

test('the model folders and the card', () => {
  const text = section('Models')
  assert.deepEqual(firstCells(text).sort(), [...ModelFolder.options].sort())
  for (const folder of ModelFolder.options) assert.ok(existsSync(join(ROOT, 'local_models', folder, 'README.md')))
  const card: unknown = JSON.parse(/```json\n([\s\S]*?)```/.exec(text)?.[1] ?? '')
  const known = new Set(Object.keys(Sidecar.shape))
  assert.ok(Sidecar.safeParse(card).success)
  assert.deepEqual(
    Object.keys(card as object).filter(key => !known.has(key)),
    [],
  )
})
