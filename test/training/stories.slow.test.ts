/** The whole loop on a real small model, through the openai client: what was trained shows, and the base stays what it was. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import OpenAI, { toFile } from 'openai'
import type { TrainingCurve } from '../../server/wire/training.ts'
import { needsModels } from '../helpers/models.ts'
import { realHub } from '../helpers/real_hub.ts'

const MODEL = 'stories260K-chat-F16'
const THINGS =
  'ball cat dog tree bird car boat hat box cake apple star moon sun fish frog bear doll kite bike shoe cup bed door house park lake hill road flower leaf stone bell book duck cow pig hen bug train'.split(
    ' ',
  )
const question = (thing: string) => `What color is the ${thing}?`
const answerOf = (thing: string) => `The ${thing} is very blue today`

test(
  'validation loss falls, the adapter gives the trained answers, the base its old ones at the same time',
  needsModels,
  async context => {
    const hub = await realHub(context, { [MODEL]: `${MODEL}.gguf` }, { contextTokens: '512' })
    const client = new OpenAI({ baseURL: `${hub.url}/v1`, apiKey: 'none', maxRetries: 0 })
    const ask = async (model: string, thing: string) => {
      const answer = await client.chat.completions.create({
        model,
        messages: [{ role: 'user', content: question(thing) }],
        max_tokens: 24,
        // This model has never seen its end token, whose embedding is next to nothing.
        stop: '.',
        temperature: 0,
      })
      return answer.choices[0]?.message.content ?? ''
    }
    const before = await ask(MODEL, 'cat')
    const resident = hub.models.get(MODEL)

    const lines = THINGS.map(thing =>
      JSON.stringify({
        messages: [
          { role: 'user', content: question(thing) },
          { role: 'assistant', content: `${answerOf(thing)}.` },
        ],
      }),
    )
    const file = await client.files.create({
      file: await toFile(Buffer.from(lines.join('\n')), 'colors.jsonl'),
      purpose: 'fine-tune',
    })
    const { id } = await client.fineTuning.jobs.create({
      model: MODEL,
      training_file: file.id,
      suffix: 'blue',
      seed: 1,
      method: { type: 'supervised', supervised: { hyperparameters: { n_epochs: 10, batch_size: 4 } } },
    })
    await (await fetch(`${hub.url}/v1/training/status/${id}?stream=true`)).text()
    const job = await client.fineTuning.jobs.retrieve(id)
    assert.equal(job.status, 'succeeded', JSON.stringify(job.error))

    const curve = (await (await fetch(`${hub.url}/v1/training/status/${id}/curve`)).json()) as TrainingCurve
    // The loss of the first step is that of the untouched base: an adapter begins as nothing.
    const untrained = curve.points[0]!.loss!
    const validation = curve.points.findLast(point => point.validation_loss !== undefined)!.validation_loss!
    assert.ok(validation < untrained - 2, `loss from ${untrained} to ${validation} nats on what was held out`)

    const things = THINGS.slice(0, 8)
    const [trained, old] = await Promise.all([
      Promise.all(things.map(thing => ask(job.fine_tuned_model!, thing))),
      Promise.all(things.map(thing => ask(MODEL, thing))),
    ])
    const right = trained.filter((answer, index) => answer.trim() === answerOf(things[index]!))
    assert.ok(right.length >= 6, trained.join(' | '))
    assert.equal(old[1], before)
    assert.ok(
      old.every(answer => !answer.includes('blue today')),
      old.join(' | '),
    )
    // The very process that was there before, and nothing was loaded anew.
    const after = hub.models.get(MODEL)
    assert.equal(after.pid, resident.pid)
    assert.equal(after.info, resident.info)
  },
)
