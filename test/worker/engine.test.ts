/** Continuous batching over a real model: exact text, sharing of KV, cancellation, overflow, grammar, log probabilities. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { HubError } from '../../server/lib/error.ts'
import { type TestEngine, testEngine } from '../helpers/engine.ts'
import { needsModels, testModels } from '../helpers/models.ts'

/** Greedy continuation of the F32 weights as the model's authors publish it. */
const KNOWN =
  ', there was a little girl named Lily. She loved to play outside in the park. One day, she saw a big, red ball.'
const LONG =
  'Once upon a time, there was a little girl named Lily. She loved to play outside. One day she saw a big tree in the park and wanted to climb it, but her mom said no. '

describe('engine on stories260K', needsModels, () => {
  let hub: TestEngine
  before(async () => {
    hub = await testEngine(join(testModels()!, 'stories260K-F32.gguf'))
  })
  after(() => hub.engine.close())

  test('greedy text is the published one, word for word', async () => {
    const result = await hub.generate('Once upon a time', { maxTokens: 40 })
    assert.equal(result.texts[0], KNOWN)
    assert.deepEqual(result.finishReasons, ['length'])
    assert.deepEqual(result.done?.usage, { promptTokens: 5, cachedTokens: 0, completionTokens: 40, reasoningTokens: 0 })
  })

  test('the same prompt again evaluates one token only', async () => {
    const result = await hub.generate('Once upon a time', { maxTokens: 40 })
    assert.equal(result.texts[0], KNOWN)
    assert.equal(result.cachedTokens, 4)
    assert.equal(result.done?.timings.prompt_n, 1)
  })

  test('cachePrompt false neither reads nor leaves KV', async () => {
    const result = await hub.generate('Once upon a time', { maxTokens: 8, cachePrompt: false })
    assert.equal(result.cachedTokens, 0)
    assert.ok(KNOWN.startsWith(result.texts[0]!))
  })

  test('forty requests on four slots give what each gives alone, sharing the prompt that others computed', async () => {
    const alone: string[] = []
    for (let index = 0; index < 5; index++)
      alone.push((await hub.generate(`${LONG}Then ${index}`, { maxTokens: 16 })).texts[0]!)
    const many = await Promise.all(
      Array.from({ length: 40 }, (_, index) => hub.generate(`${LONG}Then ${index % 5}`, { maxTokens: 16 })),
    )
    many.forEach((result, index) => {
      assert.equal(result.texts[0], alone[index % 5])
      assert.ok(result.cachedTokens > 50, `request ${index} evaluated its whole prompt`)
    })
  })

  test('a request that arrives while another evaluates the same prompt waits for it instead of doing it twice', async () => {
    const prompt = `Tim had a red ball. ${LONG}`
    const before = hub.engine.decodedTokens
    const results = await Promise.all([1, 2, 3].map(() => hub.generate(prompt, { maxTokens: 2 })))
    const length = results[0]!.done!.usage.promptTokens
    assert.ok(hub.engine.decodedTokens - before < length + 20, 'the prompt was evaluated more than once')
  })

  test('choices of one prompt differ by seed and repeat by seed', async () => {
    const request = { n: 3, maxTokens: 30, sampling: { temperature: 1, seed: 7 } }
    const first = await hub.generate('Once upon a time', request)
    const second = await hub.generate('Once upon a time', request)
    assert.equal(new Set(first.texts).size, 3)
    assert.deepEqual(second.texts, first.texts)
    assert.equal(first.done?.usage.completionTokens, 90)
  })

  test('cancelling frees the slot at once and leaves the others alone', async () => {
    let seen = 0
    let cancelled = -1
    const gone = hub.generate('One day', { maxTokens: 400, ignoreEos: true }, {}, (event, id) => {
      if (event.type === 'delta' && ++seen === 3) {
        cancelled = id
        hub.engine.cancel(id)
      }
    })
    const other = await hub.generate('Once upon a time', { maxTokens: 40 })
    assert.equal(other.texts[0], KNOWN)
    assert.ok(cancelled > 0)
    // A step that was running when the cancel came may still give its token.
    assert.ok(seen <= 4, `${seen} deltas came for a request cancelled at its third`)
    assert.equal(hub.engine.stats.busy, 0)
    assert.equal(await Promise.race([gone, Promise.resolve('no further event')]), 'no further event')
  })

  test('a cancelled prompt stops within one chunk', async () => {
    const prompt = [hub.model.bos, ...Array.from({ length: 480 }, (_, index) => 300 + (index % 97))]
    const before = hub.engine.decodedTokens
    const started = Promise.withResolvers<void>()
    void hub.generate(prompt, { maxTokens: 1 }, {}, (event, id) => {
      if (event.type === 'start') {
        hub.engine.cancel(id)
        started.resolve()
      }
    })
    await started.promise
    await hub.generate('Once upon a time', { maxTokens: 1 })
    assert.ok(hub.engine.decodedTokens - before <= 2 * 128 + 16, 'the prompt went on after its client had left')
  })

  test('sequences that together overflow the KV all finish, with the text they have alone', async () => {
    const prompts = [0, 1, 2, 3].map(index => `Tom ${index} had a dog. ${'He ran fast. '.repeat(12 + index)}`)
    const request = { maxTokens: 120, ignoreEos: true, cachePrompt: false }
    const alone: string[] = []
    for (const prompt of prompts) alone.push((await hub.generate(prompt, request)).texts[0]!)
    const together = await Promise.all(prompts.map(prompt => hub.generate(prompt, request)))
    assert.deepEqual(
      together.map(result => result.texts[0]),
      alone,
    )
  })

  test('one sequence ends with the context', async () => {
    const result = await hub.generate('Once upon a time', { maxTokens: 10_000, ignoreEos: true })
    assert.deepEqual(result.finishReasons, ['length'])
    assert.equal(result.done!.usage.promptTokens + result.done!.usage.completionTokens, hub.context.sequenceTokens + 1)
  })

  test('a prompt longer than the context is refused with both numbers', () => {
    assert.throws(
      () => void hub.generate(Array.from({ length: 600 }, () => 300)),
      (error: unknown) =>
        error instanceof HubError && error.code === 'context_length_exceeded' && /600.*512/.test(error.message),
    )
  })

  test('a stop text ends the output before it, also when it comes in pieces', async () => {
    const result = await hub.generate('Once upon a time', { maxTokens: 40, stop: ['big, red', 'zebra'] })
    assert.equal(result.texts[0], KNOWN.slice(0, KNOWN.indexOf('big, red')))
    assert.deepEqual(result.finishReasons, ['stop'])
    assert.equal(result.events.find(event => event.type === 'end')?.stop, 'big, red')
  })

  test('a grammar is kept, greedy and sampled', async () => {
    const grammar = { text: 'root ::= "{" [a-z]{3,9} "}"' }
    for (const sampling of [
      { temperature: 0 },
      { temperature: 1, seed: 1 },
      { temperature: 1.5, topK: 0, topP: 1, minP: 0, seed: 2 },
    ]) {
      const result = await hub.generate('Once', { sampling }, { grammar })
      assert.match(result.texts[0]!, /^\{[a-z]{3,9}\}$/)
      assert.deepEqual(result.finishReasons, ['stop'])
    }
  })

  test('a lazy grammar leaves the text free until its trigger', async () => {
    // Forces what follows the trigger only.
    const grammar = { text: 'root ::= " girl" " of" " 7"', triggers: ['[\\s\\S]*?( girl)[\\s\\S]*'] }
    const result = await hub.generate('Once upon a time', {}, { grammar })
    assert.equal(result.texts[0], ', there was a little girl of 7')
  })

  test('a grammar that does not parse is refused and harms nothing', async () => {
    assert.throws(() => void hub.generate('Once', {}, { grammar: { text: 'root ::= (' } }), HubError)
    assert.equal((await hub.generate('Once upon a time', { maxTokens: 40 })).texts[0], KNOWN)
  })

  test('log probabilities are those of the softmax, sorted, and agree with greedy', async () => {
    const result = await hub.generate('Once upon a time', { maxTokens: 5, topLogprobs: 3 })
    const logprobs = result.events.flatMap(event => (event.type === 'delta' ? (event.logprobs ?? []) : []))
    assert.equal(logprobs.length, 5)
    assert.equal(logprobs.map(entry => entry.token).join(''), result.texts[0])
    for (const entry of logprobs) {
      assert.equal(entry.top.length, 3)
      assert.equal(entry.top[0]!.id, entry.id)
      assert.ok(entry.top[0]!.logprob >= entry.top[1]!.logprob && entry.top[1]!.logprob >= entry.top[2]!.logprob)
      assert.ok(entry.logprob <= 0 && Math.exp(entry.logprob) <= 1)
    }
    const all = await hub.generate('Once upon a time', { maxTokens: 1, topLogprobs: 512 })
    const sum = all.events
      .flatMap(event => (event.type === 'delta' ? (event.logprobs ?? []) : []))[0]!
      .top.reduce((total, entry) => total + Math.exp(entry.logprob), 0)
    assert.ok(Math.abs(sum - 1) < 1e-4, `all probabilities add up to ${sum}`)
  })

  test('echo gives the prompt with the log probabilities of its tokens', async () => {
    const result = await hub.generate('Once upon a time', { maxTokens: 2, topLogprobs: 1, echo: true })
    const start = result.events[0]
    assert.equal(start?.type, 'start')
    assert.equal(start?.type === 'start' && start.echo?.text, 'Once upon a time')
    const logprobs = start?.type === 'start' ? start.echo?.logprobs : undefined
    assert.deepEqual(
      logprobs?.map(entry => entry?.token),
      [undefined, ' Once', ' upon', ' a', ' time'],
    )
    // The likelihood of " upon" after "Once" does not depend on how it was asked for.
    const direct = await hub.generate('Once', { maxTokens: 1, topLogprobs: 0 })
    const upon = direct.events.flatMap(event => (event.type === 'delta' ? (event.logprobs ?? []) : []))[0]!
    assert.equal(upon.token, ' upon')
    assert.ok(Math.abs(upon.logprob - logprobs![2]!.logprob) < 1e-3)
  })

  test('penalties and biases change the text as they say', async () => {
    const plain = await hub.generate('Once upon a time', { maxTokens: 12 })
    const banned = plain.tokens[0]!.find(token => /L/.test(hub.model.piece(token, false).toString()))!
    assert.match(plain.texts[0]!, /Lily/)
    const result = await hub.generate('Once upon a time', {
      maxTokens: 12,
      sampling: { temperature: 0, logitBias: [[banned, -100]] },
    })
    assert.doesNotMatch(result.texts[0]!, /Lily/)
    const repeated = await hub.generate('the the the the', {
      maxTokens: 30,
      sampling: { temperature: 0, presencePenalty: 2, frequencyPenalty: 2 },
      ignoreEos: true,
    })
    const counts = new Map<number, number>()
    for (const token of repeated.tokens[0]!) counts.set(token, (counts.get(token) ?? 0) + 1)
    assert.ok(Math.max(...counts.values()) <= 4, 'a token came back again and again in spite of both penalties')
  })

  test('KV that another conversation pushed out comes back from RAM', async () => {
    const small = await testEngine(join(testModels()!, 'stories260K-F32.gguf'), { slots: 1 })
    const mine = `${LONG}The end of my story.`
    const first = await small.generate(mine, { maxTokens: 12 })
    await small.generate(`Tom had a dog. ${'He ran fast. '.repeat(15)}`, { maxTokens: 4 })
    assert.ok(small.engine.stats.promptCacheBytes > 0, 'nothing was saved')
    const again = await small.generate(mine, { maxTokens: 12 })
    assert.equal(again.texts[0], first.texts[0])
    assert.equal(again.cachedTokens, first.done!.usage.promptTokens - 1)
    small.engine.close()
  })

  test('a state that is gone by the time it is wanted is not claimed', async () => {
    const shared = 'Once upon a time there was a girl named Lily. She was very happy and'
    const first = `${shared}${' played with a dog in the park and saw a big red ball. The dog ran to it.'.repeat(4)}`
    const second = `${shared}${' went home to see mom and dad, who had cake. They sat down and ate it.'.repeat(4)}`
    const path = join(testModels()!, 'stories260K-F32.gguf')
    const right = (await hub.generate(`${second} `, { maxTokens: 20, cachePrompt: false })).texts[0]
    // Room in RAM for one conversation only: saving the one that leaves drops the one that is wanted.
    const bytes = 1.3 * 2 * 160 * 5 * 32 * 4
    const small = await testEngine(path, { slots: 1, promptCacheBytes: bytes })
    await small.generate(second, { maxTokens: 20 })
    await small.generate(first, { maxTokens: 20 })
    const again = await small.generate(`${second} `, { maxTokens: 20 })
    assert.equal(again.texts[0], right)
    small.engine.close()
  })

  test('several choices echo the whole prompt with its log probabilities', async () => {
    await hub.generate(LONG.repeat(2), { maxTokens: 1, cachePrompt: false })
    const result = await hub.generate(LONG.repeat(2), { n: 2, echo: true, topLogprobs: 0, maxTokens: 2 })
    const start = result.events[0]
    assert.ok(start?.type === 'start')
    assert.equal(start.echo?.logprobs?.length, start.promptTokens)
    assert.deepEqual(result.finishReasons, ['length', 'length'])
  })

  test('filling in under a grammar keeps to the grammar', async () => {
    const grammar = { text: 'root ::= "{" [a-z]{3,9} "}"' }
    for (const seed of [1, 2, 3, 4]) {
      const sampling = { temperature: 1.5, topK: 0, topP: 1, minP: 0, seed }
      assert.match((await hub.generate('Once', { sampling }, { grammar, infill: true })).texts[0]!, /^\{[a-z]{3,9}\}$/)
    }
  })
})
