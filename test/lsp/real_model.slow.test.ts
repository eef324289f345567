/** The language server over a real model whose weights are random: what it says is nonsense, and still of the form that was asked for. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as z from 'zod'
import { type Ask, askModel } from '../../server/assistant/ask.ts'
import { branchName, commitMessage } from '../../server/assistant/commit.ts'
import { completionModel } from '../../server/assistant/completion_model.ts'
import { betterNames } from '../../server/assistant/name.ts'
import { placeAt } from '../../server/assistant/place.ts'
import { review } from '../../server/assistant/review.ts'
import { RANDOM_CHAT, realHub } from '../helpers/real_hub.ts'
import { marked } from '../helpers/scripted_ask.ts'

const signal = new AbortController().signal

test('answers of random weights fit their schemas, or are refused as unusable; nothing else happens', async context => {
  const hub = await realHub(context, { chat: RANDOM_CHAT })
  const ask = askModel(given => hub.models.acquire('chat', given))
  const question: Ask = { system: 'Name it.', parts: ['x = 1'], maxTokens: 200 }
  const schema = z.object({
    names: z
      .array(z.string().regex(/^[a-z]{2,8}$/))
      .min(2)
      .max(3),
    kind: z.enum(['bug', 'style']),
  })
  const value = await ask.json(question, schema, answer => answer, signal)
  assert.ok(value.names.length >= 2 && ['bug', 'style'].includes(value.kind))

  const code = marked('const fo▮o = 1\nprint(foo)\n')
  const named = await usable(betterNames(ask, code, signal))
  for (const name of named?.names ?? []) assert.match(name, /^[A-Za-z][A-Za-z0-9]*$/)

  const input = { path: 'a.js', language: 'javascript', text: 'function f(a) {\n  return a\n}\n' }
  const reviewed = await usable(review(ask, input, 'en', signal))
  for (const { line } of reviewed?.findings ?? []) assert.ok(line < 3)
  const staged = { diff: '+a\n', summary: 'M\ta.js', subjects: [] }
  const message = await usable(commitMessage(ask, staged, signal))
  if (message !== undefined) assert.ok(message.split('\n')[0]!.length <= 72)
  const branch = await usable(branchName(ask, staged, signal))
  if (branch !== undefined) assert.match(branch, /^(feature|fix|docs|refactor|test|chore)\/[a-z0-9-]+$/)
})

test('a question is cut to the context by the real tokenizer', async context => {
  const hub = await realHub(context, { chat: RANDOM_CHAT })
  const ask = askModel(given => hub.models.acquire('chat', given))
  const long = { text: 'const value = compute(1, 2, 3)\n'.repeat(2000), lose: 'start' as const }
  // Random weights may end at once.
  const text = await usable(ask.text({ system: 'Say.', parts: [long, 'end'], maxTokens: 16 }, signal))
  assert.ok(text === undefined || text.length > 0)
})

test('a chat model without fill-in-the-middle completes all the same', async context => {
  const hub = await realHub(context, { chat: { ...RANDOM_CHAT, fim: false } })
  const { infill } = completionModel(given => hub.models.acquire('chat', given))
  const place = placeAt('const a = \n', 10, { uri: 'file:///a.ts', language: 'typescript', path: 'a.ts' }, false)!
  const asked = { place, extra: [], maxTokens: 8, budgetMs: 5000, minIndent: 0, temperature: 0 }
  const pieces = []
  for await (const piece of infill(asked, signal)) pieces.push(piece)
  assert.ok('end' in pieces.at(-1)!)
})

/** What random weights say may be of the right form and still say nothing. */
const usable = async <T>(work: Promise<T>): Promise<T | undefined> =>
  work.catch((thrown: { code?: string }) => {
    assert.equal(thrown.code, 'unusable_answer', String(thrown))
    return undefined
  })
