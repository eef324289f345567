/** Training measured: share of the library's own matmul rate, against ggml's autodiff, over two cores, and the memory plans of real sizes. */
import { VARIANTS, type Variant } from '../../server/native/bins.ts'
import { type Backend, type Ggml, loadGgml } from '../../server/native/ggml.ts'
import { GGML_TYPE } from '../../server/native/ggml_api.ts'
import { planMemory } from '../../server/trainer/memory.ts'
import { openModel } from '../../server/trainer/model.ts'
import type { OptimizerSettings, Row, TrainerModel } from '../../server/trainer/types.ts'
import { LoraTarget } from '../../server/wire/trainer.ts'
import { formatNumber, median } from './statistics.ts'
import { autodiffStep } from './train_autodiff.ts'
import { type Measured, type Product, prepare, SEQUENCES, stepProducts } from './train_ceiling.ts'
import { BENCH_SHAPE, type TrainShape, trainModel } from './train_model.ts'
import { EIGHT_BILLION, FOURTEEN_BILLION, modelHeader } from './train_shapes.ts'

export type TrainBench = { library: Variant; device: string | undefined; rounds: number; note(line: string): void }
export type TrainFigures = { [name: string]: number | string | { [length: string]: number } }

const RANK = 16
const LORA = {
  type: 'lora',
  lora: { rank: RANK, alpha: 2 * RANK, rsLora: false, targets: LoraTarget.options, dropout: 0 },
} as const
const ADAMW: OptimizerSettings = {
  beta1: 0.9,
  beta2: 0.999,
  epsilon: 1e-8,
  weightDecay: 0,
  maxGradNorm: 1,
  loraPlusRatio: 1,
}
const GIB = 2 ** 30

/** Milliseconds: with one thread those that this process computed, so that other processes do not count; else those that passed. */
const cpuClock = (): number => {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1000
}
const wallClock = (): number => performance.now()

/** @throws Error naming the variants there are */
export function libraryVariant(name: string): Variant {
  const variant = VARIANTS.find(each => each === name)
  if (variant === undefined) throw new Error(`--library knows ${VARIANTS.join(', ')}, not "${name}"`)
  return variant
}

/** Measures everything that the device allows; `rows` continue a table of measurement, unit, value, bar. */
export async function benchTrain(bench: TrainBench): Promise<{ rows: string[][]; figures: TrainFigures }> {
  const ggml = loadGgml(bench.library)
  const backend = ggml.openBackend(bench.device, 1)
  const rows: string[][] = []
  const figures: TrainFigures = {
    library: `ggml ${ggml.version()} ${bench.library}`,
    device: backend.device.description,
  }
  const add = (name: string, unit: string, value: number, bar?: string): void => {
    rows.push([name, unit, formatNumber(value), bar ?? ''])
    bench.note(rows.at(-1)!.join('  '))
  }
  const cpu = backend.device.name === 'CPU'

  for (const [length, bar] of [
    [512, 0.75],
    [1024, 0.8],
  ] as const) {
    const share = await ceilingShare(ggml, backend, bench, length)
    figures[`ceiling_share_t${length}`] = share.ofProducts
    figures[`projections_share_t${length}`] = share.ofProjections
    add(`share of the matmul ceiling, T=${length}`, 'ratio', share.ofProducts, `>= ${bar}`)
    add(`  counting projections and head only`, 'ratio', share.ofProjections)
    add(`  step`, 'ms', share.stepMs)
    add(`  optimizer`, 'ms', share.optimizerMs)
    add(`  tokens per second`, 'tokens/s', (length / share.stepMs) * 1000)
  }
  if (cpu) {
    const speedup = await autodiffSpeedup(ggml, backend, bench)
    figures.autodiff_speedup = speedup.plain
    add("ggml's autodiff / our step, T=512", 'ratio', speedup.plain, '>= 2')
    add('  our step recomputing the layers', 'ratio', speedup.checkpointed)
    const scaling = await twoCoreScaling(bench)
    figures.two_core_scaling = scaling
    add('two threads against one, T=512', 'ratio', scaling, '>= 1.7')
  }
  await plans(bench, figures, add)
  return { rows, figures }
}

/** A row of sequences of which every token but the first of each is a target. */
export function benchRow(length: number, vocabulary: number, sequences = SEQUENCES): Row {
  const each = length / sequences
  return {
    tokens: Int32Array.from({ length }, (_, i) => (i * 7919) % vocabulary),
    positions: Int32Array.from({ length }, (_, i) => i % each),
    segments: Int32Array.from({ length }, (_, i) => Math.floor(i / each)),
    weights: Float32Array.from({ length }, (_, i) => (i % each === 0 ? 0 : 1)),
  }
}

const open = (bench: TrainBench, length: number, threads: number, checkpoint: boolean): Promise<TrainerModel> =>
  openModel({
    path: trainModel('Q4_K'),
    library: bench.library,
    ...(bench.device !== undefined && { device: bench.device }),
    threads,
    mode: LORA,
    seed: 1,
    buckets: [length],
    checkpoint,
  })

type Share = { ofProducts: number; ofProjections: number; stepMs: number; optimizerMs: number }

/** Step and ceiling are measured by turns, so that a slow minute of the machine meets both; the least of each counts. */
async function ceilingShare(ggml: Ggml, backend: Backend, bench: TrainBench, length: number): Promise<Share> {
  const clock = backend.device.name === 'CPU' ? cpuClock : wallClock
  // The last layer's gradients come right after its values: it is not recomputed.
  const products = stepProducts(BENCH_SHAPE, GGML_TYPE.Q4_K, length, RANK, BENCH_SHAPE.layers - 1)
  const projections = products.projections.map(product => measure(ggml, backend, product))
  const others = [...products.attention, ...products.adapter].map(product => measure(ggml, backend, product))
  const model = await open(bench, length, 1, true)
  const row = benchRow(length, BENCH_SHAPE.vocabulary)
  const steps: number[] = []
  const optimizer: number[] = []
  // The first round touches all memory for the first time.
  for (let round = 0; round <= bench.rounds; round++) {
    for (const product of [...projections, ...others]) await product.measure(clock, round > 0)
    const start = clock()
    await model.accumulate(row, 1 / length)
    const middle = clock()
    await model.step(1e-4, ADAMW)
    if (round === 0) continue
    steps.push(middle - start)
    optimizer.push(clock() - middle)
    bench.note(`  T=${length} round ${round}: ${formatNumber(middle - start)} ms`)
  }
  model.free()
  const total = (all: Timed[]): number => all.reduce((sum, product) => sum + product.finish(), 0)
  const projectionsMs = total(projections)
  const othersMs = total(others)
  const stepMs = Math.min(...steps)
  return {
    ofProducts: (projectionsMs + othersMs) / stepMs,
    ofProjections: projectionsMs / stepMs,
    stepMs,
    optimizerMs: Math.min(...optimizer),
  }
}

type Timed = { measure(clock: () => number, count: boolean): Promise<void>; finish(): number }

/** Keeps the least milliseconds of a product; `finish` gives those of all its repetitions in a step. */
function measure(ggml: Ggml, backend: Backend, product: Product): Timed {
  const prepared: Measured = prepare(ggml, backend, product)
  let best = Number.POSITIVE_INFINITY
  return {
    async measure(clock, count) {
      const ms = await prepared.run(clock)
      if (count) best = Math.min(best, ms)
    },
    finish() {
      prepared.free()
      return best * product.times
    },
  }
}

async function autodiffSpeedup(ggml: Ggml, backend: Backend, bench: TrainBench) {
  const length = 512
  // One sequence, as autodiff's graph has it: two would spare our own step half of the attention.
  const row = benchRow(length, BENCH_SHAPE.vocabulary, 1)
  const tokens = Int32Array.from({ length: length + 1 }, (_, i) => row.tokens[i % length]!)
  const autodiff = autodiffStep(ggml, backend, trainModel('Q4_K'), BENCH_SHAPE, tokens, RANK)
  const plain = await open(bench, length, 1, false)
  const checkpointed = await open(bench, length, 1, true)
  const times: { [name: string]: number[] } = { autodiff: [], plain: [], checkpointed: [] }
  const time = async (name: string, count: boolean, run: () => Promise<unknown>): Promise<void> => {
    const start = cpuClock()
    await run()
    if (count) times[name]!.push(cpuClock() - start)
  }
  for (let round = 0; round <= Math.min(bench.rounds, 3); round++) {
    await time('autodiff', round > 0, () => autodiff.run(cpuClock))
    await time('plain', round > 0, () => plain.accumulate(row, 1 / length))
    await time('checkpointed', round > 0, () => checkpointed.accumulate(row, 1 / length))
  }
  autodiff.free()
  plain.free()
  checkpointed.free()
  const least = Math.min(...times.autodiff!)
  return { plain: least / Math.min(...times.plain!), checkpointed: least / Math.min(...times.checkpointed!) }
}

/** Time that passes with one thread over that with two; the median of the rounds' own ratios. */
async function twoCoreScaling(bench: TrainBench): Promise<number> {
  const length = 512
  const row = benchRow(length, BENCH_SHAPE.vocabulary)
  const one = await open(bench, length, 1, true)
  const two = await open(bench, length, 2, true)
  const ratios: number[] = []
  const time = async (model: TrainerModel): Promise<number> => {
    const start = wallClock()
    await model.accumulate(row, 1 / length)
    return wallClock() - start
  }
  for (let round = 0; round <= bench.rounds; round++) {
    const ratio = (await time(one)) / (await time(two))
    if (round > 0) ratios.push(ratio)
  }
  one.free()
  two.free()
  return median(ratios)
}

async function plans(
  bench: TrainBench,
  figures: TrainFigures,
  add: (name: string, unit: string, value: number, bar?: string) => void,
): Promise<void> {
  const settings = {
    library: bench.library,
    ...(bench.device !== undefined && { device: bench.device }),
    mode: LORA,
    checkpoint: true,
  }
  const plan = (shape: TrainShape, length: number): number => {
    const { totalBytes } = planMemory(modelHeader(shape), { ...settings, buckets: [length] })
    return totalBytes / GIB
  }
  const eight: { [length: string]: number } = {}
  for (const [length, bar] of [
    [1024, 6.7],
    [2048, 8],
    [4096, 11],
  ] as const) {
    eight[length] = plan(EIGHT_BILLION, length)
    add(`plan of 8B, rank 16, T=${length}`, 'GiB', eight[length], `<= ${bar}`)
  }
  figures.plan_8b_gib = eight
  const fourteen = plan(FOURTEEN_BILLION, 2048)
  figures.plan_14b_gib = { 2048: fourteen }
  add('plan of 14B, rank 16, T=2048', 'GiB', fourteen, '<= 15')

  const path = trainModel('Q4_K')
  const planned = planMemory(path, { ...settings, buckets: [512] })
  const model = await open(bench, 512, 1, true)
  const real = model.memory()
  model.free()
  const allocated = real.weightsBytes + real.parameterBytes + real.computeBytes
  const error = Math.abs(planned.totalBytes - allocated) / allocated
  figures.plan_error = error
  add('plan against what is allocated, T=512', '%', error * 100, '<= 2')
}
