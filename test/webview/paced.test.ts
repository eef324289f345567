/** Drawing at the pace of the screen, on a screen whose time is given. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { paced } from '../../webview/chat/paced.ts'

/** Frames every 16 ms; a drawing takes `costMs`. @returns when it drew, of a second in which it was asked each millisecond */
function drawings(costMs: number): number[] {
  let time = 0
  let waiting: { at: number; then: () => void }[] = []
  const drawn: number[] = []
  const ask = paced(
    () => {
      drawn.push(time)
      time += costMs
    },
    {
      now: () => time,
      nextFrame: then => waiting.push({ at: Math.ceil((time + 1) / 16) * 16, then }),
      after: (ms, then) => waiting.push({ at: time + ms, then }),
    },
  )
  while (time < 1000) {
    ask()
    const due = waiting.filter(({ at }) => at <= time)
    waiting = waiting.filter(({ at }) => at > time)
    for (const { then } of due) then()
    time++
  }
  return drawn
}

test('a light drawing is made once a frame, however often it is asked for', () => {
  const drawn = drawings(2)
  assert.deepEqual(
    drawn.slice(0, 4).map(at => Math.floor(at / 16)),
    [1, 2, 3, 4],
  )
})

test('a heavy drawing takes at most about a third of the time', () => {
  const drawn = drawings(50)
  assert.ok(drawn.length >= 5 && drawn.length * 50 <= 400, `${drawn.length} drawings of 50 ms in a second`)
})

test('what was asked for last is drawn', () => {
  let value = 0
  let drawn = -1
  const frames: (() => void)[] = []
  const screen = {
    now: () => 0,
    nextFrame: (then: () => void) => void frames.push(then),
    after: (_ms: number, then: () => void) => void frames.push(then),
  }
  const ask = paced(() => {
    drawn = value
  }, screen)
  for (value = 1; value <= 3; value++) ask()
  while (frames.length > 0) {
    const then = frames.shift()!
    if (value === 4) {
      value = 5
      ask()
    }
    then()
  }
  assert.equal(drawn, 5)
})
