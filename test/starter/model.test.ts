/** The starter model that comes with a clone: its file and card, and that the hub serves it for chat and for fill-in-the-middle. */
import assert from 'node:assert/strict'
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { type Hub, startHub } from '../../server/hub.ts'
import { readSidecar } from '../../server/models/sidecar.ts'
import { type Card, heldOutNames } from '../../training_data/starter/card.ts'
import { readVocabulary } from '../../training_data/starter/gguf.ts'
import { usableLicence } from '../../training_data/starter/packages.ts'
import { SPECIAL, Tokenizer } from '../../training_data/starter/tokenizer.ts'

const ROOT = resolve(import.meta.dirname, '..', '..')
const FOLDER = join(ROOT, 'local_models', 'code_models')
const MODEL = join(FOLDER, 'starter.gguf')
const CARD = join(FOLDER, 'starter.model.json')

test('the file is small, and its tokenizer is whole', () => {
  assert.ok(statSync(MODEL).size <= 12 * 2 ** 20)
  const vocabulary = readVocabulary(MODEL)
  assert.ok(vocabulary.tokens.length >= 6000 && vocabulary.tokens.length <= 8000)
  assert.deepEqual(vocabulary.tokens.slice(-SPECIAL.length), [...SPECIAL])
  const tokenizer = new Tokenizer(vocabulary)
  const text = 'const answer: number = 42 // Xin chào, thế giới!\n'
  assert.equal(tokenizer.decode(tokenizer.encode(text)), text)
  // Vietnamese has words of its own in it, not bytes alone.
  assert.ok(tokenizer.encode(' không').length <= 3)
})

test('the card says what the model is, what it learned from, and what was measured', async () => {
  const read = await readSidecar(CARD)
  assert.equal(read?.reason, undefined)
  assert.equal(read?.sidecar.toy, true)
  const card = JSON.parse(readFileSync(CARD, 'utf8')) as Card
  assert.match(card.limits, /no use for real work/)
  const { bits_per_byte: bits, line_completion: lines, well_formed: formed, lora_demo: demo } = card.evaluation!
  const { well_formed_in_editor: editor } = card.evaluation!
  assert.ok(bits.model < bits.gzip && bits.model < bits.ngram && bits.xz !== null && bits.model < bits.xz)
  assert.ok(lines.model >= 1.5 * lines.ngram)
  assert.ok(formed.places >= 100 && formed.model > formed.ngram)
  assert.ok(editor.places >= 100 && editor.shown >= 0.5 && editor.model >= 0.95)
  assert.ok(demo !== undefined && demo.loss_after <= 0.9 * demo.loss_before && demo.minutes < 10)
  assert.ok(card.packages.length > 100)
  for (const entry of [...card.packages, ...card.held_out]) {
    const licence = /^\S+@\S+ \((.+)\)$/.exec(entry)?.[1]
    assert.equal(usableLicence(licence), licence, entry)
  }
  const learned = new Set(card.packages.map(entry => entry.replace(/@[^@]*$/, '')))
  assert.deepEqual(
    heldOutNames(card).filter(name => learned.has(name)),
    [],
  )
  assert.ok(existsSync(join(ROOT, card.training.loss_plot)))
})

describe('in the hub', () => {
  let home: string
  let hub: Hub
  before(async () => {
    home = mkdtempSync(join(tmpdir(), 'ai-hub-starter-test-'))
    const folder = join(home, 'local_models', 'code_models')
    mkdirSync(folder, { recursive: true })
    for (const path of [MODEL, CARD])
      copyFileSync(path, join(folder, path === MODEL ? 'starter.gguf' : 'starter.model.json'))
    hub = await startHub({
      home,
      commandLine: { port: '0', threads: '1', poll: '0', device: 'cpu' },
      env: {},
      logSinks: [],
    })
    await hub.ready
  })
  after(async () => {
    await hub.close()
    rmSync(home, { recursive: true, force: true, maxRetries: 5 })
  })

  async function post(path: string, body: object): Promise<unknown> {
    const response = await fetch(`${hub.url}${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    })
    assert.equal(response.status, 200, await response.clone().text())
    return response.json()
  }

  test('answers in both languages end by themselves', async () => {
    for (const content of [
      'Hello!',
      'Xin chào',
      'What is the past tense of "write"?',
      'What does the setting port do?',
    ]) {
      const answer = (await post('/v1/chat/completions', {
        model: 'starter',
        messages: [{ role: 'user', content }],
        temperature: 0,
        max_tokens: 200,
      })) as { choices: { message: { content: string }; finish_reason: string }[] }
      const [choice] = answer.choices
      assert.equal(choice?.finish_reason, 'stop', content)
      assert.notEqual(choice?.message.content.trim(), '', content)
    }
  })

  test('a greeting is answered by a greeting, a setting by its meaning', async () => {
    const ask = async (content: string): Promise<string> => {
      const answer = (await post('/v1/chat/completions', {
        model: 'starter',
        messages: [{ role: 'user', content }],
        temperature: 0,
        max_tokens: 100,
      })) as { choices: { message: { content: string } }[] }
      return answer.choices[0]!.message.content
    }
    assert.match(await ask('Hello!'), /\b(Hi|Hello)\b/)
    assert.match(await ask('Xin chào'), /[Cc]hào/)
    assert.match(await ask('What does the setting port do?'), /port/i)
  })

  test('the gap in a line is filled', async () => {
    const answer = (await post('/infill', {
      model: 'starter',
      input_prefix: "import { readFileSync } from 'node:fs'\n\nexport function read(path: string): string {\n",
      prompt: '  return read',
      input_suffix: '\n}\n',
      n_predict: 40,
      temperature: 0,
      stop: ['\n'],
    })) as { content: string }
    assert.notEqual(answer.content.trim(), '')
  })

  test('whoever lists the models learns that it is a toy', async () => {
    const listed = (await (await fetch(`${hub.url}/v1/models/status`)).json()) as {
      data: { id: string; toy?: boolean }[]
    }
    assert.deepEqual(
      listed.data.map(({ id, toy }) => [id, toy]),
      [['starter', true]],
    )
  })
})
