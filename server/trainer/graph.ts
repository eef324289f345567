/** One graph: a row of a certain length through the whole model, its loss, and with `train` the gradients of all that is trained. */
import { HubError } from '../lib/error.ts'
import type { Backend, Ggml } from '../native/ggml.ts'
import { GGML_TYPE } from '../native/ggml_api.ts'
import { DEVICE_TYPE, type Pointer } from '../native/structs.ts'
import { chunkQueries, cutQueries, maskOf, seenPairs } from './attention.ts'
import { decoderLayer, rmsNorm, scale } from './blocks.ts'
import type { Family, Numbers } from './families/family.ts'
import { chunkRows, crossEntropy, type LossInputs, logitsOf, lossInputs, selectRows } from './loss.ts'
import { type Adapter, type Chunk, type Network, need } from './network.ts'
import { Tape, type Value } from './tape.ts'
import type { Row } from './types.ts'

const { F32, I32 } = GGML_TYPE
/** Attention probabilities of a layer up to which they are kept rather than computed again. */
const KEEP_BYTES = 128 * 2 ** 20
/** Dropout reads a pool of random factors, each linear from a place of its own within so many numbers. */
const DROPOUT_PLACES = 2 ** 16

/** A model as far as graphs need it. Its tensors may be without memory when only a plan is wanted. */
export type Base = {
  ggml: Ggml
  backend: Backend
  family: Family
  numbers: Numbers
  tensor(name: string): Value | undefined
  /** The adapter's pairs; undefined when the weights themselves are trained. */
  adapter?: { scale: number; pair(weight: string): { a: Value; b: Value } | undefined }
}

export type GraphOptions = {
  /** Tokens of the row. */
  length: number
  /** Most targets with a weight; ignored for logits. */
  supervised: number
  kind: 'train' | 'evaluate' | 'logits'
  /** false leaves the adapter out: the base itself. */
  adapted?: boolean
  /** The first key that each chunk of queries sees, for rows of that layout alone; without it for all rows. */
  firsts?: readonly number[]
  checkpoint?: boolean
  dropout?: number
  /** Queries per chunk of attention, and rows per chunk of the head; chosen by size when left out. */
  attentionChunk?: number
  headRows?: number
  smooth?: boolean
}

export type Graph = {
  tape: Tape
  length: number
  supervised: number
  /** It takes rows of one layout only. */
  ofLayout: boolean
  /** F32 [vocabulary, length] of a `logits` graph. */
  logits: Pointer | undefined
  /** Writes a row's inputs; the loss is multiplied by `scale`. @throws HubError invalid_request when the row does not fit */
  fill(row: Row, scale: number): void
  /** It has dropout. */
  drops: boolean
  /** Factors of dropout for the next run; `random` gives numbers in [0, 1). */
  drop(random: () => number): void
  /** The loss of the last run. */
  loss(): number
}

/** Emits the graph; its memory, that of its inputs included, comes from an allocator. */
export function buildGraph(base: Base, options: GraphOptions): Graph {
  const { ggml, backend, family, numbers } = base
  const { length, supervised, kind, adapted = true, checkpoint = true, dropout = 0 } = options
  const train = kind === 'train'
  const querySize = queriesPerChunk(base, options)
  const headRows = Math.min(supervised, options.headRows ?? chunkRows(supervised, numbers.vocabulary))
  const tape = new Tape(ggml, backend, { ...sizes(numbers, options, querySize, headRows), train })

  const tokens = tape.input(I32, length)
  const positions = tape.input(I32, length)
  const chunksOf = new Map<number, Chunk[]>()
  const chunks = (window: number): Chunk[] => {
    const known = chunksOf.get(window)
    if (known !== undefined) return known
    const made = cutQueries(length, querySize, window, options.firsts).map(chunk => ({
      ...chunk,
      mask: tape.input(F32, chunk.keys, chunk.count),
    }))
    chunksOf.set(window, made)
    return made
  }
  const poolSize =
    Math.max(numbers.width, numbers.feedForward, numbers.heads * numbers.headSize) * length + DROPOUT_PLACES
  const pool = train && adapted && base.adapter && dropout > 0 ? tape.input(F32, poolSize) : undefined
  const net: Network = {
    tape,
    family,
    numbers,
    length,
    tensor: base.tensor,
    positions,
    ropeFactors: ropeFactors(base, length),
    chunks,
    // By the widest layout, so that no other takes more memory than it.
    keeps: window => seenPairs(cutQueries(length, querySize, window)) * numbers.heads * 4 <= KEEP_BYTES,
    smooth: options.smooth ?? false,
    ...(adapted && base.adapter && { adapter: adapterOf(tape, base.adapter, pool, length) }),
  }

  let x = embed(net, tokens)
  for (let layer = 0; layer < numbers.layers; layer++) {
    const block = (input: Value) => decoderLayer(net, input, layer)
    // The last layer would be emitted again at once: the head in between takes less than a layer's gradients.
    x = checkpoint && layer < numbers.layers - 1 ? tape.checkpoint(x, block) : block(x)
  }
  let logits: Pointer | undefined
  let inputs: LossInputs | undefined
  if (kind === 'logits') {
    logits = logitsOf(net, rmsNorm(net, x, 'output_norm').tensor).logits
    ggml.set_output(logits)
  } else {
    inputs = lossInputs(net, supervised)
    // It is read when the graph has run.
    ggml.set_output(inputs.loss)
    crossEntropy(net, selectRows(net, x, inputs, supervised), inputs, { rows: headRows })
    tape.backward()
  }

  return {
    tape,
    length,
    supervised,
    ofLayout: options.firsts !== undefined,
    logits,
    fill(row, scale) {
      checkRow(row, numbers, length)
      tape.fillCounts()
      const n = row.tokens.length
      const segments = new Int32Array(length).fill(-1)
      segments.set(row.segments)
      const padded = (values: Int32Array) => {
        const all = new Int32Array(length)
        all.set(values)
        return all
      }
      ggml.set(tokens, padded(row.tokens))
      ggml.set(positions, padded(row.positions))
      for (const [window, list] of chunksOf)
        for (const chunk of list) ggml.set(chunk.mask, maskOf(chunk, segments, window))
      if (inputs !== undefined) fillLoss(ggml, inputs, row, n, { length, supervised, headRows, scale, numbers })
    },
    drops: pool !== undefined,
    drop(random) {
      if (pool === undefined) return
      const kept = 1 / (1 - dropout)
      ggml.set(
        pool,
        Float32Array.from({ length: poolSize }, () => (random() < dropout ? 0 : kept)),
      )
    },
    loss: () => (inputs === undefined ? 0 : ggml.get(inputs.loss, new Float32Array(1))[0]!),
  }
}

/** Queries whose attention is computed at once. */
export function queriesPerChunk(
  { backend }: Pick<Base, 'backend'>,
  options: Pick<GraphOptions, 'length' | 'attentionChunk'>,
): number {
  const onCpu = backend.device.type === DEVICE_TYPE.cpu
  return Math.min(options.length, options.attentionChunk ?? chunkQueries(options.length, onCpu))
}

/** Targets with a weight of a row: those that another token of the same sequence stands before. */
export function countTargets(row: Row): number {
  let count = 0
  for (let i = 1; i < row.tokens.length; i++) if (isTarget(row, i)) count++
  return count
}

const isTarget = ({ weights, segments }: Row, i: number): boolean =>
  weights[i] !== 0 && segments[i]! >= 0 && segments[i] === segments[i - 1]

function fillLoss(
  ggml: Ggml,
  inputs: LossInputs,
  row: Row,
  n: number,
  sizes: { length: number; supervised: number; headRows: number; scale: number; numbers: Numbers },
): void {
  const { length, supervised, headRows, scale, numbers } = sizes
  const rows = new Int32Array(supervised)
  const targets = new Int32Array(supervised)
  const weights = new Float32Array(supervised)
  const used = new Uint8Array(length)
  let count = 0
  for (let i = 1; i < n; i++) {
    if (!isTarget(row, i)) continue
    if (count === supervised) throw new HubError('internal', `the row has more than ${supervised} targets`)
    rows[count] = i - 1
    used[i - 1] = 1
    targets[count] = (count % headRows) * numbers.vocabulary + row.tokens[i]!
    weights[count] = row.weights[i]! * scale
    count++
  }
  // Slots left over have weight 0 and rows of their own, since two writes to one row would race.
  for (let free = length - 1; count < supervised; free--) {
    if (used[free]) continue
    rows[count] = free
    targets[count] = (count % headRows) * numbers.vocabulary
    count++
  }
  ggml.set(inputs.rows, rows)
  ggml.set(inputs.rowsLong, BigInt64Array.from(rows, BigInt))
  ggml.set(inputs.targets, targets)
  ggml.set(inputs.targetsLong, BigInt64Array.from(targets, BigInt))
  ggml.set(inputs.weights, weights)
  ggml.set(inputs.loss, new Float32Array(1))
}

function checkRow(row: Row, numbers: Numbers, length: number): void {
  const n = row.tokens.length
  if (n > length) throw new HubError('invalid_request', `a row of ${n} tokens does not fit ${length}; cut the samples`)
  for (let i = 0; i < n; i++) {
    const token = row.tokens[i]!
    if (token < 0 || token >= numbers.vocabulary) {
      throw new HubError(
        'invalid_request',
        `token ${i} of a row is ${token}, but the base model's vocabulary has ${numbers.vocabulary}; tokenise with this model`,
      )
    }
    const position = row.positions[i]!
    if (position < 0 || position >= numbers.contextLength) {
      throw new HubError(
        'invalid_request',
        `a sequence reaches position ${position}, but the base model's context is ${numbers.contextLength}; cut the samples`,
      )
    }
  }
}

function embed(net: Network, tokens: Pointer): Value {
  const { tape, numbers, length } = net
  const table = need(net, 'token_embd.weight')
  const y: Value = {
    tensor: tape.op.get_rows(table.tensor, tokens),
    shape: [numbers.width, length, 1, 1],
    type: F32,
    needs: table.needs,
  }
  tape.record(y, dy => tape.addGradient(table, tape.op.get_rows_back(dy, tokens, table.tensor)))
  return scale(net, y, net.family.embeddingScale?.(numbers) ?? 1)
}

/** Llama 3's factors, or Phi's for rows within or beyond the original context. */
function ropeFactors(base: Base, length: number): Pointer | null {
  const phi = length > base.numbers.originalContext ? 'rope_factors_long' : 'rope_factors_short'
  return (base.tensor('rope_freqs.weight') ?? base.tensor(`${phi}.weight`))?.tensor ?? null
}

function adapterOf(
  tape: Tape,
  adapter: NonNullable<Base['adapter']>,
  pool: Pointer | undefined,
  length: number,
): Adapter {
  if (pool === undefined) return adapter
  // A layer that is emitted again must find the same factors: the place follows from the weight's name.
  return {
    ...adapter,
    dropout: (width, name) => tape.op.view_2d(pool, width, length, width * 4, place(name) * 4),
  }
}

function place(name: string): number {
  let hash = 7
  for (let i = 0; i < name.length; i++) hash = (Math.imul(hash, 31) + name.charCodeAt(i)) >>> 0
  return hash % DROPOUT_PLACES
}

/** Room in the tape, generously: the library ends the process when there is too little. */
function sizes(numbers: Numbers, options: GraphOptions, querySize: number, headRows: number) {
  const chunks = Math.ceil(options.length / querySize)
  const layer = 600 + 100 * chunks
  const head = Math.ceil(options.supervised / headRows) * (60 + 10 * Math.ceil(numbers.vocabulary / 8192))
  return { nodes: 2000 + layer * numbers.layers + head, inputs: 64 + 4 * chunks }
}
