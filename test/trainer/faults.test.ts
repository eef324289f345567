/** Bad input and bad luck with the real model: each has its own clear message, and the last good checkpoint stands. */
import assert from 'node:assert/strict'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { HubError } from '../../server/lib/error.ts'
import { readCheckpoint } from '../../server/trainer/checkpoint.ts'
import { Control } from '../../server/trainer/control.ts'
import { type Sequence, writeTokenFile } from '../../server/trainer/data.ts'
import { fitDevice } from '../../server/trainer/fit.ts'
import { parseJob } from '../../server/trainer/job.ts'
import { openModel } from '../../server/trainer/model.ts'
import { childLogits } from '../../server/trainer/parity.ts'
import { type Deps, type Outcome, train } from '../../server/trainer/run.ts'
import type { FromTrainer, TrainerJobInput } from '../../server/wire/trainer.ts'
import { writeFamilyModel } from '../helpers/family_models.ts'
import { type Metadata, makeModel, modelParts, str, type Tensor, TINY, u32, writeGguf } from '../helpers/gguf_file.ts'

const folder = mkdtempSync(join(tmpdir(), 'trainer-faults-'))
after(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }))
const at = (name: string): string => join(folder, name)

const SHAPE = { ...TINY, embedding: 32, feedForward: 64, context: 64 }
makeModel(at('base.gguf'), SHAPE)
const sequence = (...tokens: number[]): Sequence => ({
  tokens: Int32Array.from(tokens),
  weights: Float32Array.from(tokens, (_, i) => (i === 0 ? 0 : 1)),
})
const data = (name: string, sequences: Sequence[], kind: 'samples' | 'preferences' = 'samples') =>
  writeTokenFile(at(name), { kind, vocabularySize: 284, sequences })
data(
  'tokens.bin',
  Array.from({ length: 8 }, (_, i) => sequence(1, 2 + i, 3 + i, 4 + i, 5 + i, 60 + i)),
)

const JOB: TrainerJobInput = {
  base: 'base.gguf',
  tokens: 'tokens.bin',
  output: 'out.gguf',
  mode: { type: 'lora', rank: 2 },
  rowTokens: 16,
  epochs: 2,
  rowsPerStep: 1,
  threads: 1,
  checkpointEverySteps: 2,
}

async function play(changed: { [key: string]: unknown } = {}, deps: Partial<Deps> = {}): Promise<Outcome> {
  return train(parseJob({ ...JOB, ...changed }, folder), {
    openModel,
    referenceLogits: childLogits,
    fit: fitDevice,
    emit: () => undefined,
    stands: () => undefined,
    nowMs: () => 0,
    control: new Control(),
    threads: 1,
    ...deps,
  })
}

async function refused(changed: { [key: string]: unknown }, message: RegExp, deps: Partial<Deps> = {}): Promise<void> {
  await assert.rejects(
    async () => play(changed, deps),
    (error: unknown) => {
      assert.ok(error instanceof HubError, String(error instanceof Error ? error.stack : error))
      assert.match(error.message, message)
      return true
    },
  )
}

/** A base whose header or tensors were changed before they were written. */
function spoiled(name: string, change: (parts: { metadata: Metadata; tensors: Tensor[] }) => void): string {
  const parts = modelParts(SHAPE)
  change(parts)
  writeGguf(at(name), parts.metadata, parts.tensors)
  return name
}

test('a job is refused by the name of what is wrong', async () => {
  await refused({ learningRate: 1 }, /learningRate/)
  await refused({ rate: 'high' }, /rate/)
  await refused({ mode: { type: 'lora', targets: ['attn_x'] } }, /attn_x|targets/)
  await refused({ validation: 'tokens.bin', validationShare: 0.1 }, /validation and validationShare exclude each other/)
  await refused({ buckets: [8, 32] }, /buckets go up to rowTokens, which is 16/)
  await refused({ output: 'base.gguf' }, /output is the base itself/)
  await refused({ patience: 2 }, /patience counts validations; give validation or validationShare/)
  await refused({ mode: { type: 'full' }, optimizer: { loraPlusRatio: 4 } }, /loraPlusRatio is for adapters/)
  await refused({ mode: { type: 'full' }, loss: { type: 'preference' } }, /preferences are trained with an adapter/)
})

test('a base that is absent, no GGUF, or cut off', async () => {
  await refused({ base: 'none.gguf' }, /none.gguf cannot be opened/)
  writeFileSync(at('text.gguf'), 'once upon a time')
  await refused({ base: 'text.gguf' }, /text.gguf is not a GGUF file/)
  makeModel(at('cut.gguf'), SHAPE)
  truncateSync(at('cut.gguf'), 100_000)
  await refused({ base: 'cut.gguf' }, /cut.gguf is truncated: it has 100000 of at least \d+ bytes/)
  truncateSync(at('cut.gguf'), 500)
  await refused({ base: 'cut.gguf' }, /cut.gguf is truncated/)
})

test('an architecture that is not known, with those that are', async () => {
  const base = spoiled('mamba.gguf', ({ metadata }) => {
    metadata['general.architecture'] = str('mamba')
  })
  await refused({ base }, /architecture mamba cannot be trained; these can: llama, .*qwen2/)
})

test('an adapter, and one part of a split model, are no bases', async () => {
  const adapter = spoiled('adapter.gguf', ({ metadata }) => {
    metadata['general.type'] = str('adapter')
  })
  await refused({ base: adapter }, /is of type adapter, not a model/)
  const part = spoiled('part.gguf', ({ metadata }) => {
    metadata['split.count'] = u32(3)
  })
  await refused({ base: part }, /is one of 3 parts/)
})

test('a type of weights that has no kernel', async () => {
  makeModel(at('odd.gguf'), SHAPE)
  const bytes = readFileSync(at('odd.gguf'))
  const name = bytes.indexOf('blk.0.attn_q.weight')
  // Behind the name stand the number of dimensions, two of 8 bytes, and the type: 16 is IQ2_XXS.
  bytes.writeUInt32LE(16, name + 'blk.0.attn_q.weight'.length + 4 + 16)
  writeFileSync(at('odd.gguf'), bytes)
  await refused(
    { base: 'odd.gguf' },
    /blk.0.attn_q.weight is of type 16, which cannot be trained on; use a file of F32/,
  )
})

test('weights that are not numbers', async () => {
  const base = spoiled('nan.gguf', ({ tensors }) => {
    const norm = tensors.find(({ name }) => name === 'blk.1.attn_norm.weight')!
    norm.data = [new Uint8Array(new Float32Array(32).fill(Number.NaN).buffer)]
  })
  await refused({ base }, /nan.gguf: blk.1.attn_norm.weight holds values that are not finite \(from number 0 on\)/)
})

test('tokens that the model does not have, and samples longer than a row or the context', async () => {
  data('foreign.bin', [sequence(1, 2, 3), sequence(1, 5000)])
  await refused({ tokens: 'foreign.bin' }, /token sample 1, token 1: id 5000 is out of range; .* go from 0 to \d+/)
  data('long.bin', [sequence(...Array.from({ length: 40 }, (_, i) => i))])
  await refused({ tokens: 'long.bin' }, /sample 0 has 40 tokens and a row holds 16/)
  await refused({ tokens: 'long.bin', rowTokens: 128 }, /rowTokens is 128, longer than the model's context of 64/)
  await refused({ validation: 'long.bin' }, /validation sample 0 has 40 tokens/)
})

test('an adapter of another base, by its checksum and by its shapes', async () => {
  await play({ output: 'first.gguf' })
  const mode = { type: 'lora', rank: 2, continueFrom: 'first.gguf' }
  makeModel(at('sister.gguf'), { ...SHAPE, seed: 2 })
  await refused(
    { base: 'sister.gguf', mode },
    /first.gguf cannot be continued: it was trained on another base file \(sha256/,
  )
  await refused({ mode: { ...mode, rank: 4 } }, /is 32 x 2 and should be 32 x 4; set the rank/)
  await refused({ mode: { ...mode, targets: ['attn_q'] } }, /which the job does not train/)
  await refused({ mode: { ...mode, continueFrom: 'base.gguf' } }, /is not a LoRA adapter/)
  await refused({ mode: { ...mode, continueFrom: 'none.gguf' } }, /none.gguf cannot be read/)
  assert.equal((await play({ mode })).type, 'finished')
})

test('memory that runs out in the middle ends the run, and its last checkpoint goes on', async () => {
  const events: FromTrainer[] = []
  let rows = 0
  const meagre: Deps['openModel'] = async options => {
    const model = await openModel(options)
    const accumulate = model.accumulate.bind(model)
    model.accumulate = (row, scale) => {
      if (++rows === 4) throw new HubError('insufficient_memory', 'CPU has no memory for rows of 16 tokens')
      return accumulate(row, scale)
    }
    return model
  }
  const output = 'meagre.gguf'
  await refused({ output }, /no memory for rows of 16 tokens/, {
    openModel: meagre,
    emit: message => void events.push(message),
  })
  assert.equal(readCheckpoint(at(`${output}.checkpoint`)).place.step, 2)
  await play({ output })
  await play({ output: 'ample.gguf' })
  const tensors = (name: string) => readFileSync(at(name)).subarray(-4096)
  assert.deepEqual(tensors(output), tensors('ample.gguf'))
})

test('a disk that is full when a checkpoint is due', { skip: !existsSync('/dev/full') }, async () => {
  const output = 'full.gguf'
  const checkpoint = at(`${output}.checkpoint`)
  const fill = (message: FromTrainer) => {
    // From the second checkpoint on there is no room: the file beside leads to a full device.
    if (message.type === 'checkpoint') symlinkSync('/dev/full', `${checkpoint}.part`)
  }
  await refused({ output }, /the disk of .* is full, so full.gguf.checkpoint was not written/, { emit: fill })
  assert.equal(readCheckpoint(checkpoint).place.step, 2)
  assert.equal((await play({ output })).type, 'finished')
})

test('preferences in a job for samples', async () => {
  data('pairs.bin', [sequence(1, 2), sequence(1, 3)], 'preferences')
  await refused({ tokens: 'pairs.bin' }, /holds preferences, and the job's loss wants samples/)
  assert.equal((await play({ tokens: 'pairs.bin', loss: { type: 'preference' }, output: 'dpo.gguf' })).type, 'finished')
})

for (const start of ['base', 'skeleton']) {
  test(`a full training from a ${start} writes a model that trains on from there`, async () => {
    const base = start === 'base' ? 'base.gguf' : spoiled('skeleton.gguf', ({ tensors }) => void tensors.splice(0))
    const full = { base, mode: { type: 'full', randomStart: true }, output: 'grown.gguf', epochs: 20, rate: 5e-3 }
    const losses: number[] = []
    const emit = (message: FromTrainer) => void (message.type === 'progress' && losses.push(message.loss))
    await play(full, { emit })
    assert.ok(losses.at(-1)! < 0.5 * losses[0]!, `${losses[0]} -> ${losses.at(-1)}`)
    const before = losses.at(-1)!
    losses.length = 0
    // The parity check of this second run holds the file against the serving engine.
    await play({ ...JOB, base: 'grown.gguf', rate: 1e-6, output: 'onward.gguf' }, { emit })
    assert.ok(losses[0]! < 1.5 * before + 0.1, `${before} -> ${losses[0]}`)
  })
}

test('all weights of a base in F16, or quantised, can be trained: the guard allows for their rounding', async () => {
  for (const type of ['F16', 'Q8_0'] as const) {
    writeFamilyModel(at(`${type}.gguf`), { architecture: 'llama', types: [type] })
    const job = { base: `${type}.gguf`, mode: { type: 'full' }, output: `all-${type}.gguf`, maxSteps: 1 }
    assert.equal((await play(job)).type, 'finished')
  }
})

test('a checkpoint is said to stand only when this job can go on from it', async () => {
  const output = 'standing.gguf'
  const stood: string[] = []
  const stands = (path: string) => void stood.push(path)
  const checkpoint = at(`${output}.checkpoint`)
  writeFileSync(checkpoint, 'some other file')
  await refused({ output }, /standing.gguf.checkpoint .*not a checkpoint|is truncated/, { stands })
  rmSync(checkpoint)
  const cancelled = new Control()
  const emit = (message: FromTrainer) => void (message.type === 'progress' && message.step === 3 && cancelled.cancel())
  await play({ output }, { control: cancelled, emit })
  await refused({ output, seed: 9 }, /of another run/, { stands })
  assert.deepEqual(stood, [])
  const meagre = async () => {
    throw new HubError('insufficient_memory', 'no memory')
  }
  await refused({ output }, /no memory/, { stands, openModel: meagre })
  assert.deepEqual(stood, [checkpoint])
})

test('a result that leads to an input by a link is refused', {
  skip: process.platform === 'win32' && 'Windows lets not everybody make links',
}, async () => {
  symlinkSync(at('tokens.bin'), at('link.bin'))
  mkdirSync(at('sub'))
  symlinkSync(folder, at('sub/back'))
  await refused({ output: 'link.bin' }, /output is the file tokens.bin of this same job/)
  await refused({ output: 'sub/back/base.gguf' }, /output is the base itself/)
  await refused({ checkpoint: 'sub/back/out.gguf' }, /checkpoint is the file out.gguf of this same job/)
})
