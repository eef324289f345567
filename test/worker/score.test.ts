/** Log probabilities of a part of a prompt: the same as those of the whole, in batches of any size, beside others. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import type { TokenLogprob } from '../../server/wire/worker.ts'
import { type Result, testEngine } from '../helpers/engine.ts'
import { makeModel } from '../helpers/gguf_file.ts'
import { RANDOM_CHAT } from '../helpers/real_hub.ts'

const folder = mkdtempSync(join(tmpdir(), 'ai-hub-test-'))
after(() => rmSync(folder, { recursive: true, force: true }))
const path = join(folder, 'random.gguf')
makeModel(path, RANDOM_CHAT)

const SCORE = { echo: true, topLogprobs: 0, maxTokens: 0, cachePrompt: false } as const
const tokens = Array.from({ length: 200 }, (_, index) => 3 + ((index * 37) % 200))

function logprobsOf(result: Result): (TokenLogprob | null)[] {
  const start = result.events.find(event => event.type === 'start')
  assert.ok(start?.type === 'start' && start.echo?.logprobs !== undefined, JSON.stringify(result.error))
  return start.echo.logprobs
}
const values = (found: (TokenLogprob | null)[], from: number): number[] => found.slice(from).map(one => one!.logprob)

test('from any token on, the probabilities are those of the whole prompt', async () => {
  const engine = await testEngine(path)
  const whole = logprobsOf(await engine.generate(tokens, SCORE))
  assert.equal(whole.length, tokens.length)
  assert.equal(whole[0], null)
  for (const from of [1, 2, 64, 65, 130, 198, 199]) {
    const part = logprobsOf(await engine.generate(tokens, { ...SCORE, logprobsFrom: from }))
    assert.equal(part.length, tokens.length)
    assert.ok(Array.from(part.slice(0, from)).every(one => one === null || one === undefined))
    for (const [index, value] of values(part, from).entries()) {
      assert.ok(Math.abs(value - whole[from + index]!.logprob) < 1e-3, `${from} + ${index}`)
    }
  }
  engine.engine.close()
})

test('several at once, beside one that writes, give what each gives alone', async () => {
  const engine = await testEngine(path)
  const alone = values(logprobsOf(await engine.generate(tokens, SCORE)), 150)
  const [first, second, text] = await Promise.all([
    engine.generate(tokens, { ...SCORE, logprobsFrom: 150 }),
    engine.generate(tokens.slice(0, 100), { ...SCORE, logprobsFrom: 90 }),
    engine.generate(tokens.slice(0, 20), { maxTokens: 8 }),
  ])
  for (const [index, value] of values(logprobsOf(first), 150).entries()) {
    assert.ok(Math.abs(value - alone[index]!) < 1e-3)
  }
  assert.equal(values(logprobsOf(second), 90).length, 10)
  assert.equal(text.error, undefined)
  engine.engine.close()
})
