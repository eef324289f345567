/** Adapters beside a base whose worker is a script: what is asked of it, and what makes room when memory is short. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { HubError } from '../../server/lib/error.ts'
import { silentLog } from '../../server/lib/log.ts'
import { withAdapters } from '../../server/models/adapter_models.ts'
import type { Adapter } from '../../server/models/adapters.ts'
import { fakeFile, fakeModels } from '../helpers/fake_models.ts'

const NEVER = new AbortController().signal

const adapterOf = (name: string, card: Adapter['card'] = {}): Adapter => ({
  id: `base:${name}`,
  base: 'base',
  name,
  version: 1,
  current: true,
  path: `${name}.gguf`,
  bytes: 10,
  modifiedMs: 0,
  fingerprint: name,
  status: 'ok',
  card,
})

test('where memory is short, the adapter that nobody has used for longest leaves; one in use and a pinned one stay', async () => {
  const fake = fakeModels({ files: [fakeFile('base')] })
  const all = new Map(
    [adapterOf('a', { pin: true }), ...['b', 'c', 'd'].map(name => adapterOf(name))].map(each => [each.id, each]),
  )
  const log: string[] = []
  let taken = 0
  let room = Number.POSITIVE_INFINITY
  const models = {
    ...fake,
    addMemory(_: string, bytes: number) {
      if (bytes > 0 && taken + bytes > room) throw new HubError('insufficient_memory', 'too much')
      taken += bytes
    },
    async acquire(id: string, signal: AbortSignal) {
      const lease = await fake.acquire(id, signal)
      const ask = async (asked: { type: string; name?: string }) => {
        log.push(`${asked.type === 'load_adapter' ? '+' : '-'}${asked.name?.replace(/#.*/, '')}`)
        return {} as never
      }
      return { ...lease, ask }
    },
  }
  const adapters = {
    list: () => [...all.values()],
    get: (id: string) => all.get(id),
    look: async (id: string) => all.get(id),
    onChange: () => () => undefined,
  }
  const served = withAdapters({ models, adapters, ready: Promise.resolve(), log: silentLog })
  for (const name of ['a', 'b', 'c', 'b']) (await served.acquire(`base:${name}`, NEVER)).release()
  assert.deepEqual(log, ['+a', '+b', '+c'])
  room = taken
  const d = await served.acquire('base:d', NEVER)
  assert.deepEqual(log.splice(3), ['-c', '+d'])
  const b = await served.acquire('base:b', NEVER)
  await assert.rejects(served.acquire('base:c', NEVER), { code: 'insufficient_memory' })
  assert.deepEqual(log.splice(3), [])
  d.release()
  // Two at once, of which there is room for one.
  const both = await Promise.allSettled([served.acquire('base:c', NEVER), served.acquire('base:d', NEVER)])
  assert.equal(both.filter(({ status }) => status === 'fulfilled').length, 1)
  b.release()
})
