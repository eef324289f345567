/** Messages on their way to the hub, of two tabs that share what is kept. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Bridge } from '../../webview/bridge.ts'
import { createOutbox } from '../../webview/chat/outbox.ts'
import { HubFailure } from '../../webview/failure.ts'

/** @param put what the hub does with a message */
function tabs(put: (path: string, body: unknown) => void, { full = false } = {}) {
  const storage = new Map<string, string>()
  const kept: Bridge['kept'] = {
    get: key => storage.get(key),
    set(key, value) {
      if (value === undefined) storage.delete(key)
      else if (!full) storage.set(key, value)
    },
  }
  const request: Bridge['request'] = async (_method, path, body) => put(path, body) as never
  const refused: unknown[] = []
  const open = () => createOutbox({ kept, request } as Bridge, thrown => refused.push(thrown))
  return { open, refused, storage }
}
const AWAY = new HubFailure('unreachable', 'away')

test('what two tabs wrote while the hub was away is sent, whichever of them is left', async () => {
  let away = true
  const sent: [string, unknown][] = []
  const { open, storage } = tabs((path, body) => {
    if (away) throw AWAY
    sent.push([path, body])
  })
  const [first, second] = [open(), open()]
  await first.put('/a', 1)
  await second.put('/b', 2)
  await first.put('/a', 3)
  away = false
  await second.flush()
  assert.deepEqual(sent.toSorted(), [
    ['/a', 3],
    ['/b', 2],
  ])
  await open().flush()
  assert.equal(sent.length, 2)
  assert.equal(storage.get('outbox'), undefined)
})

test('a letter that was replaced while it was on its way is sent again', async () => {
  const sent: unknown[] = []
  const box = tabs((_path, body) => {
    sent.push(body)
    if (body === 'half') void outbox.put('/a', 'whole')
  })
  const outbox = box.open()
  await outbox.put('/a', 'half')
  await outbox.flush()
  assert.deepEqual(sent, ['half', 'whole'])
  assert.deepEqual(outbox.store.get().letters, [])
})

test('what the hub does not take is given up and said; what it cannot take now is kept', async () => {
  let failure = new HubFailure('invalid_request', 'no', 400)
  const { open, refused } = tabs(() => {
    throw failure
  })
  const outbox = open()
  await outbox.put('/a', 1)
  assert.deepEqual([refused.length, outbox.store.get().letters.length], [1, 0])
  failure = AWAY
  await outbox.put('/a', 1)
  assert.deepEqual([refused.length, outbox.store.get().letters.length], [1, 1])
})

test('where nothing more can be kept, the tab itself still has it', async () => {
  let away = true
  const sent: string[] = []
  const { open } = tabs(
    path => {
      if (away) throw AWAY
      sent.push(path)
    },
    { full: true },
  )
  const outbox = open()
  await outbox.put('/a', 1)
  await outbox.put('/b', 2)
  away = false
  await outbox.flush()
  assert.deepEqual(sent, ['/a', '/b'])
})
