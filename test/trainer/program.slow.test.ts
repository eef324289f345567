/** The trainer as a program: by hand and over IPC, killed and resumed, and its adapter in the engine that serves. */
import assert from 'node:assert/strict'
import { type ChildProcess, fork, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { after, test } from 'node:test'
import { Child } from '../../server/lib/child.ts'
import { silentLog } from '../../server/lib/log.ts'
import { runAsync } from '../../server/native/llama.ts'
import { type Sequence, writeTokenFile } from '../../server/trainer/data.ts'
import { randomAt } from '../../server/trainer/random.ts'
import type { FromTrainer, ToTrainer, TrainerJobInput, TrainerStats } from '../../server/wire/trainer.ts'
import { testEngine } from '../helpers/engine.ts'
import { makeModel, TINY } from '../helpers/gguf_file.ts'
import { needsModels, testModels } from '../helpers/models.ts'

const MAIN = resolve(import.meta.dirname, '../../server/trainer/main.ts')
const folder = mkdtempSync(join(tmpdir(), 'trainer-program-'))
after(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }))
const at = (name: string): string => join(folder, name)

makeModel(at('tiny.gguf'), { ...TINY, embedding: 32, feedForward: 64 })
const random = randomAt(9)
const sequences: Sequence[] = Array.from({ length: 12 }, () => {
  const tokens = Int32Array.from({ length: 6 + Math.floor(random() * 8) }, () => Math.floor(random() * 250))
  return { tokens, weights: Float32Array.from(tokens, (_, i) => (i < 2 ? 0 : 1)) }
})
writeTokenFile(at('tokens.bin'), { kind: 'samples', vocabularySize: 284, sequences })

/** Some 60 short steps on one thread. */
const job = (name: string): TrainerJobInput => ({
  base: at('tiny.gguf'),
  tokens: at('tokens.bin'),
  output: at(`${name}.gguf`),
  mode: { type: 'lora', rank: 4, dropout: 0.1 },
  rowTokens: 32,
  rowsPerStep: 2,
  epochs: 30,
  rate: 1e-2,
  validationShare: 0.2,
  validateEverySteps: 4,
  checkpointEverySteps: 1,
  threads: 1,
})
/** Tensors only: the header holds the name of the file. */
const tensorBytes = (name: string): string => {
  const bytes = readFileSync(at(`${name}.gguf`))
  return createHash('sha256')
    .update(bytes.subarray(bytes.length - TENSOR_BYTES))
    .digest('hex')
}
/** Per layer of 32 wide, 64 in the feed-forward, 2 of 4 heads for k and v, at rank 4. */
const TENSOR_BYTES = 2 * 4 * 4 * (2 * (32 + 32) + 2 * (32 + 16) + 3 * (32 + 64))

type Trainer = {
  child: Child<ToTrainer, FromTrainer, TrainerStats>
  messages: FromTrainer[]
  /** The first message of that type, which may have come already. */
  next<T extends FromTrainer['type']>(type: T): Promise<Extract<FromTrainer, { type: T }>>
}

function start(input: TrainerJobInput, watch: (message: FromTrainer, trainer: Trainer) => void = () => undefined) {
  const messages: FromTrainer[] = []
  const waiting: { type: FromTrainer['type']; resolve(message: FromTrainer): void; reject(error: Error): void }[] = []
  const child = new Child<ToTrainer, FromTrainer, TrainerStats>({ script: MAIN, log: silentLog }, message => {
    messages.push(message)
    watch(message, trainer)
    for (const one of waiting.filter(({ type }) => type === message.type)) one.resolve(message)
  })
  const trainer: Trainer = {
    child,
    messages,
    next(type) {
      const found = messages.find(message => message.type === type)
      const { promise, resolve, reject } = Promise.withResolvers<FromTrainer>()
      if (found === undefined) waiting.push({ type, resolve, reject })
      else resolve(found)
      void child.exited.then(exit => reject(new Error(`it ended first: ${JSON.stringify(exit)}`)))
      return promise as Promise<Extract<FromTrainer, { type: typeof type }>>
    },
  }
  child.send({ type: 'start', job: input })
  return trainer
}

/** To its end. */
async function complete(input: TrainerJobInput): Promise<FromTrainer[]> {
  const trainer = start(input)
  const end = await Promise.race([trainer.next('finished'), trainer.next('failed')])
  assert.equal(end.type, 'finished', JSON.stringify(end))
  await trainer.child.close({ type: 'exit' })
  return trainer.messages
}

test('killed with -9 at any moment, again and again, a run gives the adapter of an unbroken one', async () => {
  const whole = await complete(job('whole'))
  const steps = whole.filter(message => message.type === 'progress').length
  assert.equal(steps, whole.find(message => message.type === 'started')!.totalSteps)
  const point = randomAt(4)
  let kills = 0
  for (let attempt = 0; ; attempt++) {
    // Some messages are of the step, some of the checkpoint in the midst of which the next one begins.
    let left = attempt < 5 ? 2 + Math.floor(point() * 12) : Number.POSITIVE_INFINITY
    const trainer = start(job('killed'), (_, { child }) => {
      if (--left === 0) child.kill('the test says so')
    })
    const exit = await Promise.race([trainer.child.exited, trainer.next('finished').catch(() => undefined)])
    if (exit !== undefined && 'type' in exit) {
      await trainer.child.close({ type: 'exit' })
      break
    }
    await trainer.child.exited
    kills++
  }
  assert.ok(kills >= 2, `${kills} kills`)
  assert.equal(tensorBytes('killed'), tensorBytes('whole'))
  assert.equal(existsSync(at('killed.gguf.checkpoint')), false)
})

test('paused and resumed over IPC it ends the same, answers pings, and is done when told to leave', async () => {
  if (!existsSync(at('whole.gguf'))) await complete(job('whole'))
  let paused = false
  const trainer = start({ ...job('paused'), lowPriority: false }, (message, { child }) => {
    if (message.type !== 'progress' || message.step < 3 || paused) return
    paused = true
    child.send({ type: 'pause' })
  })
  await trainer.next('paused')
  assert.equal((await trainer.child.ping())?.state, 'paused')
  trainer.child.send({ type: 'resume' })
  await trainer.next('finished')
  const stats = await trainer.child.ping()
  assert.equal(stats?.state, 'ended')
  assert.ok(stats.rssBytes > 0 && stats.step > 0)
  trainer.child.send({ type: 'start', job: job('again') })
  assert.match((await trainer.next('failed')).error.message, /has a job already/)
  await trainer.child.close({ type: 'exit' })
  assert.equal(tensorBytes('paused'), tensorBytes('whole'))
})

test('it does not outlive its parent', async () => {
  const parent = at('parent.mjs')
  // A parent that starts the trainer, tells of its progress, and is then killed itself.
  writeFileSync(
    parent,
    `import { fork } from 'node:child_process'
const child = fork(${JSON.stringify(MAIN)}, [], { stdio: ['ignore', 'inherit', 'ignore', 'ipc'] })
child.on('message', message => { if (message.type === 'progress') process.send?.(message.type) })
child.send({ type: 'start', job: ${JSON.stringify({ ...job('orphan'), epochs: 100_000 })} })
`,
  )
  const middle: ChildProcess = fork(parent, { execArgv: [], stdio: ['ignore', 'pipe', 'ignore', 'ipc'] })
  middle.stdout!.resume()
  // Both hold the pipe: it closes when the last of them is gone. A trainer that stays would keep the test waiting for ever.
  const closed = once(middle.stdout!, 'close')
  await once(middle, 'message')
  middle.kill('SIGKILL')
  await closed
})

/** Runs the program by hand. */
async function byHand(args: string[], onLine: (line: string, child: ChildProcess) => void = () => undefined) {
  const child = spawn(process.execPath, [MAIN, ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
  const lines: string[] = []
  let errors = ''
  createInterface({ input: child.stdout }).on('line', line => {
    lines.push(line)
    onLine(line, child)
  })
  child.stderr.on('data', chunk => {
    errors += chunk
  })
  const code = await new Promise<number | null>(done => child.once('close', done))
  return { code, lines, errors }
}

test('by hand it takes a job file, and says what is wrong with it', async () => {
  const file = at('job.json')
  const relative = { ...job('hand'), base: 'tiny.gguf', tokens: 'tokens.bin', output: 'hand.gguf' }
  writeFileSync(file, JSON.stringify(relative))
  const good = await byHand([file])
  assert.equal(good.errors, '')
  assert.equal(good.code, 0)
  assert.match(good.lines[0] ?? '', /^llama on CPU, 4096 trained numbers; same as the serving engine to \d/)
  assert.match(good.lines.join('\n'), /step 1\/\d+ {2}epoch [\d.]+ {2}loss [\d.]+ .*tokens\/s/)
  assert.match(good.lines.at(-1) ?? '', /^wrote .*hand.gguf/)
  if (existsSync(at('whole.gguf'))) assert.equal(tensorBytes('hand'), tensorBytes('whole'))

  writeFileSync(file, JSON.stringify({ ...relative, learningRate: 3 }))
  const unknown = await byHand([file])
  assert.equal(unknown.code, 1)
  assert.match(unknown.errors, /failed: the job is wrong:[\s\S]*learningRate/)
  const none = await byHand([])
  assert.equal(none.code, 2)
  assert.match(none.errors, /usage/)
})

test('Ctrl+C stops it with a checkpoint', {
  skip: process.platform === 'win32' && 'Windows has no SIGINT to send',
}, async () => {
  const file = at('interrupted.json')
  writeFileSync(file, JSON.stringify({ ...job('interrupted'), checkpointEverySteps: 1000 }))
  const stopped = await byHand([file], (line, child) => {
    if (line.startsWith('step 2/')) child.kill('SIGINT')
  })
  assert.equal(stopped.code, 130)
  assert.match(stopped.lines.at(-1) ?? '', /^stopped at step \d+; start the same job again/)
  const resumed = await byHand([file])
  assert.equal(resumed.code, 0)
  assert.match(resumed.lines[1] ?? '', /going on from step \d+/)
  if (existsSync(at('whole.gguf'))) assert.equal(tensorBytes('interrupted'), tensorBytes('whole'))
})

test('an adapter for real weights learns a new domain, and the serving engine speaks of it', needsModels, async () => {
  const base = join(testModels()!, 'stories260K-F32.gguf')
  const before = readFileSync(base)
  const engine = await testEngine(base)
  const sentences = ['Pip', 'Zog', 'Mek', 'Tik', 'Bo'].flatMap(name =>
    ['moon', 'mine', 'harbour', 'tower'].flatMap(place =>
      ['lamps', 'pipes', 'wires'].map(
        thing => `${name} the robot rolled to the ${place} and counted all the ${thing}.`,
      ),
    ),
  )
  const tokenized = sentences.map(text => {
    const tokens = Int32Array.from([...engine.model.tokenize(text, true, false), 2])
    return { tokens, weights: Float32Array.from(tokens, (_, i) => (i === 0 ? 0 : 1)) }
  })
  writeTokenFile(at('robots.bin'), { kind: 'samples', vocabularySize: 512, sequences: tokenized })
  const messages = await complete({
    base,
    tokens: at('robots.bin'),
    validationShare: 0.2,
    output: at('robots.gguf'),
    mode: { type: 'lora', rank: 8, alpha: 16 },
    rowTokens: 256,
    rowsPerStep: 2,
    epochs: 3,
    rate: 5e-3,
    validateEverySteps: 1,
    threads: 1,
  })
  const validations = messages.filter(message => message.type === 'validation')
  const [first, best] = [validations[0]!, validations.findLast(({ best: isBest }) => isBest)!]
  assert.ok(best.loss < 0.8 * first.loss, `validation ${first.loss} -> ${best.loss}: at least 20 % less`)
  assert.deepEqual(readFileSync(base), before)

  const pointer = await runAsync(engine.model.native.adapter_lora_init, engine.model.pointer, at('robots.gguf'))
  assert.ok(pointer !== null, 'the serving engine reads the adapter')
  const answer = async (scale: number) =>
    (
      await engine.generate(
        'Zog the robot',
        { maxTokens: 24 },
        { adapters: scale === 0 ? [] : [{ id: 1, pointer, scale }] },
      )
    ).texts[0]
  assert.match((await answer(1)) ?? '', /^ rolled to the \w+ and counted all the/)
  assert.doesNotMatch((await answer(0)) ?? '', /rolled/)
})
