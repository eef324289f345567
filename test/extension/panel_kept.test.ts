/** What pages keep: shared by all, and each with its own before it, also over windows that know nothing of each other. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readKept, writeKept } from '../../extension/panel_kept.ts'

function memento() {
  const values = new Map<string, unknown>()
  return {
    keys: () => [...values.keys()],
    get: <T>(key: string, other?: T) => (values.has(key) ? values.get(key) : other) as T,
    async update(key: string, value: unknown) {
      if (value === undefined) values.delete(key)
      else values.set(key, value)
    },
    setKeysForSync() {},
  }
}

test('a page has its own, and a new one begins with what was kept last', async () => {
  const memory = { globalState: memento(), workspaceState: memento() }
  await memory.globalState.update('anyPort', true)
  assert.deepEqual(readKept(memory, 'chat panel'), { at: 0, kept: {}, own: {} })
  await writeKept(memory, 'chat panel', { type: 'keep', key: 'open', value: 'a', own: true, at: 5 })
  await writeKept(memory, 'chat panel', { type: 'keep', key: 'language', value: 'vi', own: false, at: 6 })
  assert.deepEqual(readKept(memory, 'chat panel'), { at: 6, kept: { open: 'a', language: 'vi' }, own: { open: 'a' } })
  assert.deepEqual(readKept(memory, 'chat view'), { at: 0, kept: { open: 'a', language: 'vi' }, own: {} })
  await writeKept(memory, 'chat view', { type: 'keep', key: 'open', own: true, at: 7 })
  assert.deepEqual(readKept(memory, 'chat view'), { at: 7, kept: { language: 'vi' }, own: { open: '' } })
  assert.deepEqual(readKept(memory, 'chat panel').own, { open: 'a' })
})

test('a window takes nothing away that another one kept', async () => {
  const globalState = memento()
  const [one, two] = [memento(), memento()].map(workspaceState => ({ globalState, workspaceState }))
  await writeKept(one!, 'chat panel', { type: 'keep', key: 'draft.a', value: 'one', own: true, at: 1 })
  await writeKept(two!, 'chat panel', { type: 'keep', key: 'draft.b', value: 'two', own: true, at: 2 })
  assert.deepEqual(readKept(one!, 'chat panel').kept, { 'draft.a': 'one', 'draft.b': 'two' })
  assert.deepEqual(readKept(two!, 'chat panel').own, { 'draft.b': 'two' })
})
