/** Logs: levels, scopes, and that a sink which fails is nobody's problem. */
import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { createLog, fileSink, type Level } from '../../server/lib/log.ts'

const folder = mkdtempSync(join(tmpdir(), 'ai-hub-log-'))
after(() => rmSync(folder, { recursive: true, force: true }))

test('one line of fields per event, at the level that holds now', () => {
  const lines: string[] = []
  let level: Level = 'info'
  const log = createLog({ scope: 'hub', level: () => level, sinks: [line => lines.push(line)], now: () => new Date(0) })
  log.child('models').info('loading', { model: 'a b', layers: 3, none: undefined })
  log.debug('hidden')
  level = 'debug'
  log.debug('shown')
  assert.deepEqual(lines, [
    '1970-01-01T00:00:00.000Z info  hub.models: loading model="a b" layers=3\n',
    '1970-01-01T00:00:00.000Z debug hub: shown\n',
  ])
})

test('a sink that fails costs neither the caller nor the other sinks anything', () => {
  const lines: string[] = []
  const full = () => {
    throw Object.assign(new Error('no space left on device'), { code: 'ENOSPC' })
  }
  const log = createLog({ scope: 'hub', level: 'info', sinks: [full, line => lines.push(line)] })
  assert.doesNotThrow(() => log.error('still here'))
  assert.equal(lines.length, 1)
})

const noFullDevice = existsSync('/dev/full') ? {} : { skip: 'this system has no /dev/full' }
test('a disk that is full is survived', noFullDevice, () => {
  const log = createLog({ scope: 'hub', level: 'info', sinks: [fileSink('/dev/full')] })
  assert.doesNotThrow(() => log.info('one'))
  assert.doesNotThrow(() => log.info('two'))
})

test('a log file keeps one older generation', () => {
  const path = join(folder, 'logs', 'hub.log')
  const sink = fileSink(path, 100)
  for (let index = 0; index < 10; index++) sink(`${'x'.repeat(30)} ${index}\n`)
  assert.ok(statSync(path).size <= 140 && statSync(`${path}.1`).size <= 140)
  assert.match(readFileSync(path, 'utf8'), /9\n$/)
})
