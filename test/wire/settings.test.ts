/** Settings: defaults, which source wins, and what a wrong value is told. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import {
  APPLIES,
  describeSetting,
  environmentName,
  resolveSettings,
  SETTING_NAMES,
  Settings,
  type Sources,
} from '../../server/wire/settings.ts'

test('without any source the defaults hold', () => {
  const { settings, from, problems } = resolveSettings({})
  assert.deepEqual(settings, Settings.parse({}))
  assert.equal(settings.port, 8000)
  assert.equal(settings.host, '127.0.0.1')
  assert.deepEqual(new Set(Object.values(from)), new Set(['default']))
  assert.deepEqual(problems, [])
})

test('every setting has a description, a default and a moment at which it applies', () => {
  assert.deepEqual(Object.keys(APPLIES).sort(), Object.keys(Settings.shape).sort())
  for (const name of SETTING_NAMES) {
    assert.match(describeSetting(name), /^[A-Z].*\.$/, name)
    assert.notEqual(Settings.parse({})[name], undefined, name)
  }
})

test('command line over environment over stored over file over default', () => {
  const sources: Required<Sources> = {
    commandLine: { slots: '1' },
    environment: { AI_HUB_SLOTS: '2', AI_HUB_POLL: '2', PATH: '/bin' },
    stored: { slots: 3, poll: 3, threads: 3 },
    file: { slots: 4, poll: 4, threads: 4, batchTokens: 4 },
  }
  const { settings, from, problems } = resolveSettings(sources)
  const { slots, poll, threads, batchTokens, maxQueue } = settings
  assert.deepEqual(
    { slots, poll, threads, batchTokens, maxQueue },
    { slots: 1, poll: 2, threads: 3, batchTokens: 4, maxQueue: 256 },
  )
  assert.deepEqual(
    [from.slots, from.poll, from.threads, from.batchTokens, from.maxQueue],
    ['command_line', 'environment', 'stored', 'file', 'default'],
  )
  assert.deepEqual(problems, [])
})

test('text of the command line and the environment becomes the value that the setting wants', () => {
  const { settings, problems } = resolveSettings({
    commandLine: { gpuLayers: '-1', flashAttention: 'on', useMmap: 'off', memoryFraction: '0.5', host: '::1' },
    environment: {
      AI_HUB_ALLOWED_ORIGINS: 'http://localhost:3000, https://app.example',
      ai_hub_prompt_cache_mib: '64',
      AI_HUB_SLOTS: '',
    },
  })
  assert.deepEqual(problems, [])
  assert.equal(settings.gpuLayers, -1)
  assert.equal(settings.flashAttention, 'on')
  assert.equal(settings.useMmap, false)
  assert.equal(settings.memoryFraction, 0.5)
  assert.equal(settings.host, '::1')
  assert.deepEqual(settings.allowedOrigins, ['http://localhost:3000', 'https://app.example'])
  assert.equal(settings.promptCacheMiB, 64)
  assert.equal(settings.slots, 4)
})

test('a wrong value names its source and its setting, and does not count', () => {
  const { settings, problems } = resolveSettings({
    commandLine: { port: 'eight' },
    environment: { AI_HUB_DEVICE: 'tpu' },
    stored: { slots: 0 },
    file: { contexttokens: 5, allowedOrigins: ['http://a/path'], home: '/x', wholly: 1 },
  })
  assert.deepEqual(settings, Settings.parse({}))
  assert.equal(problems.length, 7)
  assert.match(problems[0] ?? '', /^The command line gives 'port' a wrong value \("eight"\)/)
  assert.match(problems[1] ?? '', /^The environment variable AI_HUB_DEVICE gives 'device'.*"cuda"/)
  assert.match(problems[2] ?? '', /^The database gives 'slots'/)
  assert.match(
    problems[3] ?? '',
    /settings\.json names the unknown setting 'contexttokens'; it is written 'contextTokens'/,
  )
  assert.match(problems[4] ?? '', /'allowedOrigins'.*0: an origin looks like/)
  assert.match(problems[5] ?? '', /settings\.json sets 'home', but lies in it/)
  assert.match(problems[6] ?? '', /'wholly'; there are port, host/)
})

test('a weaker source speaks where a stronger one is wrong', () => {
  const { settings, from } = resolveSettings({ environment: { AI_HUB_SLOTS: 'many' }, file: { slots: 7 } })
  assert.equal(settings.slots, 7)
  assert.equal(from.slots, 'file')
})

test('environment names are distinct and lossless', () => {
  assert.equal(environmentName('promptCacheMiB'), 'AI_HUB_PROMPT_CACHE_MIB')
  assert.equal(environmentName('kvType'), 'AI_HUB_KV_TYPE')
  assert.equal(new Set(SETTING_NAMES.map(environmentName)).size, SETTING_NAMES.length)
})

test('whatever the sources hold, the settings are valid and nothing is thrown', () => {
  const name = fc.oneof(fc.constantFrom(...SETTING_NAMES), fc.string())
  fc.assert(
    fc.property(
      fc.dictionary(name, fc.string()),
      fc.dictionary(name.map(environmentName), fc.string()),
      fc.dictionary(name, fc.jsonValue()),
      fc.dictionary(name, fc.jsonValue()),
      (commandLine, environment, stored, file) => {
        const { settings } = resolveSettings({ commandLine, environment, stored, file })
        assert.deepEqual(Settings.parse(settings), settings)
      },
    ),
    { seed: 3, numRuns: 300 },
  )
})
