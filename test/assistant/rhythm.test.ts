/** How long the engine waits for another key: by the typist, the place and the model. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Place, placeAt } from '../../server/assistant/place.ts'
import { Rhythm } from '../../server/assistant/rhythm.ts'

const place = (text: string): Place =>
  placeAt(text, text.length, { uri: 'file:///a.ts', language: 'typescript', path: 'a.ts' }, true)!

function typist(intervalMs: number, latencyMs?: number): { rhythm: Rhythm; nowMs: number } {
  const rhythm = new Rhythm()
  let nowMs = 0
  for (let key = 0; key < 20; key++) {
    nowMs += intervalMs
    rhythm.keystroke(nowMs)
  }
  if (latencyMs !== undefined) rhythm.answered(latencyMs)
  return { rhythm, nowMs }
}

test('a model that answers long before the next key is asked at once', () => {
  const { rhythm, nowMs } = typist(120, 20)
  assert.equal(rhythm.delayMs(place('const a'), nowMs), 0)
})

test('a slow model is not asked at every key, and less is waited where people stop to think', () => {
  const { rhythm, nowMs } = typist(120, 600)
  const inWord = rhythm.delayMs(place('const a'), nowMs)
  assert.ok(inWord > 0 && inWord <= 400)
  const { rhythm: middling, nowMs: then } = typist(200, 100)
  assert.ok(middling.delayMs(place('const a = '), then) < middling.delayMs(place('const name'), then))
})

test('never longer than the answer takes, and what has passed since the key counts', () => {
  const { rhythm, nowMs } = typist(200, 80)
  const wait = rhythm.delayMs(place('const name'), nowMs)
  assert.ok(wait > 0 && wait <= 80)
  assert.equal(rhythm.delayMs(place('const name'), nowMs + 1000), 0)
  assert.equal(rhythm.delayMs(place('const name'), nowMs + 10), Math.max(0, wait - 10))
})

test('a pause of thought does not make a slow typist', () => {
  const { rhythm, nowMs } = typist(100, 500)
  const before = rhythm.delayMs(place('const name'), nowMs)
  rhythm.keystroke(nowMs + 60_000)
  assert.equal(rhythm.delayMs(place('const name'), nowMs + 60_000), before)
})
