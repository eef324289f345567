/** When a hub that an editor started may end by itself. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { watchIdle } from '../../server/lib/idle.ts'

function start(minutes: number) {
  const world = { nowMs: 0, busy: false, uses: 0, isIdle: false, look: () => {} }
  const { idle, stop } = watchIdle({
    minutes: () => minutes,
    busy: () => world.busy,
    uses: () => world.uses,
    now: () => world.nowMs,
    every(action) {
      world.look = action
      return () => {
        world.look = () => {}
      }
    },
  })
  void idle.then(() => {
    world.isIdle = true
  })
  const pass = async (ms: number) => {
    world.nowMs += ms
    world.look()
    await Promise.resolve()
    return world.isIdle
  }
  return { world, pass, stop }
}

test('idle after the minutes without use, counted from the last one', async () => {
  const { world, pass } = start(10)
  assert.equal(await pass(9 * 60_000), false)
  world.uses++
  assert.equal(await pass(60_000), false)
  assert.equal(await pass(9 * 60_000), false)
  world.busy = true
  assert.equal(await pass(60 * 60_000), false)
  world.busy = false
  assert.equal(await pass(9 * 60_000), false)
  assert.equal(await pass(60_000), true)
})

test('0 minutes is never', async () => {
  const { pass } = start(0)
  assert.equal(await pass(1e9), false)
})
