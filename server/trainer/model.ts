/** A base model open for training: its weights, what is trained, and the graphs for rows of each length. */
import { HubError } from '../lib/error.ts'
import { type Ggml, loadGgml } from '../native/ggml.ts'
import { DEVICE_TYPE, type Pointer } from '../native/structs.ts'
import { cutQueries, firstKeys, seenPairs } from './attention.ts'
import { assembleBase, describeBase, readHeader } from './base.ts'
import type { GgufTensor } from './gguf_read.ts'
import { type Base, buildGraph, countTargets, type Graph, type GraphOptions, queriesPerChunk } from './graph.ts'
import { startFull, startLora } from './lora.ts'
import { Optimizer } from './optimizer.ts'
import { Parameters } from './parameters.ts'
import { randomAt } from './random.ts'
import { isConstant } from './tensors.ts'
import type { OpenOptions, OptimizerSettings, Row, TrainerModel } from './types.ts'
import { loadWeights, readAsF32, type Weights } from './weights.ts'

/** @throws HubError invalid_request for a base that cannot be trained, insufficient_memory, or not_found for the device */
export async function openModel(options: OpenOptions): Promise<TrainerModel> {
  const ggml = loadGgml(options.library)
  const header = readHeader(options.path)
  const described = describeBase(header, options.mode)
  if (options.buckets.length === 0) throw new HubError('invalid_request', 'a run needs at least one row length')

  const backend = ggml.openBackend(options.device, options.threads)
  const opened: { free(): void }[] = [{ free: () => ggml.backend_free(backend.pointer) }]
  try {
    const weights = await loadWeights(ggml, backend, options.path, described.frozen)
    opened.push(weights)
    const parameters = new Parameters(ggml, backend, described.trained)
    opened.push(parameters)
    await startParameters(ggml, parameters, header.tensors, described.numbers.layers, options)
    const optimizer = new Optimizer(ggml, backend, parameters)
    opened.push(optimizer)
    const base = assembleBase(ggml, backend, described, options.mode, weights.values, parameters)
    return new OpenModel(base, parameters, weights, optimizer, options)
  } catch (error) {
    for (const each of opened.reverse()) each.free()
    throw error
  }
}

async function startParameters(
  ggml: Ggml,
  parameters: Parameters,
  tensors: readonly GgufTensor[],
  layers: number,
  { path, mode, seed }: OpenOptions,
): Promise<void> {
  if (mode.type === 'lora') startLora(parameters, seed)
  else if (mode.randomStart) startFull(parameters, layers, seed)
  else {
    for (const tensor of tensors)
      if (!isConstant(tensor.name)) parameters.set(tensor.name, await readAsF32(ggml, path, tensor))
  }
}

/** Share of the causal attention up to which a graph for the row's own layout is worth its making. */
const WORTHWHILE = 0.85
/** Graphs of layouts that are kept; all lie in the same device memory, and each takes a few MiB of the host's. */
const LAYOUTS = 4

class OpenModel implements TrainerModel {
  readonly parameters: Parameters
  readonly #base: Base
  readonly #weights: Weights
  readonly #optimizer: Optimizer
  readonly #options: OpenOptions
  readonly #buckets: number[]
  readonly #graphs = new Map<string, Graph>()
  readonly #allocator: Pointer
  /** Rows since the last step: dropout draws from the place in the run, so that a resumed run draws the same. */
  #drawn = 0
  #busy = false

  constructor(base: Base, parameters: Parameters, weights: Weights, optimizer: Optimizer, options: OpenOptions) {
    this.#base = base
    this.parameters = parameters
    this.#weights = weights
    this.#optimizer = optimizer
    this.#options = options
    this.#buckets = [...options.buckets].sort((a, b) => a - b)
    this.#allocator = base.ggml.gallocr_new(base.backend.bufferType)
    try {
      // The largest graph first: all others then fit into its memory.
      const longest = this.#buckets.at(-1)!
      this.#graph({ kind: 'train', length: longest, supervised: longest })
    } catch (error) {
      this.#freeGraphs()
      throw error
    }
  }

  get architecture(): string {
    return this.#base.numbers.architecture
  }

  get device(): { name: string; isCpu: boolean } {
    const { name, type } = this.#base.backend.device
    return { name, isCpu: type === DEVICE_TYPE.cpu }
  }

  get vocabularySize(): number {
    return this.#base.numbers.vocabulary
  }

  get contextLength(): number {
    return this.#base.numbers.contextLength
  }

  get trainableCount(): number {
    return this.parameters.count
  }

  async accumulate(row: Row, lossScale: number): Promise<number> {
    const targets = countTargets(row)
    if (targets === 0) return 0
    return this.#run(this.#fitting('train', row, targets), row, lossScale)
  }

  async evaluate(row: Row): Promise<{ loss: number; weight: number }> {
    return this.#evaluate(row, true)
  }

  async accumulatePreference(
    pair: { chosen: Row; rejected: Row },
    { beta, lossScale }: { beta: number; lossScale: number },
  ): Promise<{ loss: number; accuracy: number; margin: number }> {
    const result = await this.evaluatePreference(pair, beta)
    const slope = beta / (1 + Math.exp(result.margin))
    await this.accumulate(pair.chosen, lossScale * slope)
    await this.accumulate(pair.rejected, -lossScale * slope)
    return { ...result, loss: result.loss * lossScale }
  }

  async evaluatePreference(
    pair: { chosen: Row; rejected: Row },
    beta: number,
  ): Promise<{ loss: number; accuracy: number; margin: number }> {
    if (this.#base.adapter === undefined)
      throw new HubError('invalid_request', 'preferences need an adapter: the base without it is the reference')
    const gain = async (row: Row) => (await this.#evaluate(row, false)).loss - (await this.#evaluate(row, true)).loss
    // DPO (Rafailov et al. 2023): loss = -log sigmoid(beta (gain(chosen) - gain(rejected))), gain = log p / p_reference.
    const margin = beta * ((await gain(pair.chosen)) - (await gain(pair.rejected)))
    const loss = margin > 0 ? Math.log1p(Math.exp(-margin)) : Math.log1p(Math.exp(margin)) - margin
    return { loss, accuracy: margin > 0 ? 1 : 0, margin }
  }

  async step(rate: number, options: OptimizerSettings): Promise<{ gradientNorm: number; finite: boolean }> {
    this.#drawn = 0
    return this.#alone(() => this.#optimizer.step(rate, options))
  }

  clearGradients(): void {
    this.#drawn = 0
    this.parameters.clearGradients()
  }

  async logits(row: Row): Promise<Float32Array> {
    const { ggml, backend, numbers } = this.#base
    const length = row.tokens.length
    const graph = this.#graph({ kind: 'logits', length, supervised: length })
    graph.fill(row, 1)
    await this.#alone(() => ggml.compute(backend, graph.tape.graph))
    return ggml.get(graph.logits!, new Float32Array(length * numbers.vocabulary))
  }

  memory(): { weightsBytes: number; parameterBytes: number; computeBytes: number } {
    return {
      weightsBytes: this.#weights.bytes,
      parameterBytes: this.parameters.bytes,
      computeBytes: this.#allocated() + this.#optimizer.bytes,
    }
  }

  free(): void {
    this.#freeGraphs()
    this.#optimizer.free()
    this.parameters.free()
    this.#weights.free()
    this.#base.ggml.backend_free(this.#base.backend.pointer)
  }

  async #evaluate(row: Row, adapted: boolean): Promise<{ loss: number; weight: number }> {
    const targets = countTargets(row)
    if (targets === 0) return { loss: 0, weight: 0 }
    const loss = await this.#run(this.#fitting('evaluate', row, targets, adapted), row, 1)
    let weight = 0
    for (let i = 1; i < row.tokens.length; i++)
      if (row.segments[i]! >= 0 && row.segments[i] === row.segments[i - 1]) weight += row.weights[i]!
    return { loss, weight }
  }

  async #run(graph: Graph, row: Row, scale: number): Promise<number> {
    graph.fill(row, scale)
    if (graph.drops) graph.drop(randomAt(this.#options.seed, 2, this.parameters.stepCount, this.#drawn++))
    await this.#alone(() => this.#base.ggml.compute(this.#base.backend, graph.tape.graph))
    return graph.loss()
  }

  /** The device computes one graph at a time; calls that overlap are a mistake of the caller. */
  async #alone<T>(work: () => Promise<T>): Promise<T> {
    if (this.#busy) throw new HubError('internal', 'the model is computing already; wait for the call before')
    this.#busy = true
    try {
      return await work()
    } finally {
      this.#busy = false
    }
  }

  #fitting(kind: 'train' | 'evaluate', row: Row, targets: number, adapted = true): Graph {
    const n = row.tokens.length
    const length = this.#buckets.find(bucket => bucket >= n)
    if (length === undefined) {
      throw new HubError(
        'invalid_request',
        `a row of ${n} tokens is longer than ${this.#buckets.at(-1)}; cut the samples`,
      )
    }
    // The head costs as much as several layers: a row with few targets gets a smaller one.
    const supervised = [length / 4, length / 2].map(Math.ceil).find(size => size >= targets) ?? length
    const firsts = this.#layout(row, length)
    return this.#graph({ kind, length, supervised, adapted, ...(firsts && { firsts }) })
  }

  /** A row of many short sequences gets a graph of its own, whose attention leaves out what its masks would: undefined where that gains little. */
  #layout(row: Row, length: number): number[] | undefined {
    const { attentionChunk } = this.#options
    const size = queriesPerChunk(this.#base, { length, ...(attentionChunk !== undefined && { attentionChunk }) })
    const firsts = firstKeys(row.segments, length, size)
    const pairs = (...layout: [firsts?: number[]]) => seenPairs(cutQueries(length, size, 0, ...layout))
    return pairs(firsts) <= WORTHWHILE * pairs() ? firsts : undefined
  }

  #graph(wanted: Pick<GraphOptions, 'kind' | 'length' | 'supervised' | 'adapted' | 'firsts'>): Graph {
    const { kind, length, supervised, adapted = true, firsts } = wanted
    const key = [kind, length, supervised, adapted, ...(firsts ?? [])].join()
    const known = this.#graphs.get(key)
    if (known !== undefined) {
      // To the end of the queue.
      this.#graphs.delete(key)
      this.#graphs.set(key, known)
      return known
    }
    const oldest = [...this.#graphs].filter(([, graph]) => graph.ofLayout)
    for (const [other, graph] of oldest.slice(0, Math.max(0, oldest.length + 1 - LAYOUTS))) {
      graph.tape.free()
      this.#graphs.delete(other)
    }
    const graph = buildGraph(this.#base, this.#withChunks({ ...wanted, adapted }))
    const before = this.#allocated()
    try {
      this.#allocate(graph)
    } catch (error) {
      graph.tape.free()
      throw error
    }
    if (this.#allocated() !== before) {
      // The memory was made anew: graphs that lay in it must be built again.
      for (const other of this.#graphs.values()) other.tape.free()
      this.#graphs.clear()
    }
    this.#graphs.set(key, graph)
    return graph
  }

  #withChunks(options: GraphOptions): GraphOptions {
    const { checkpoint, mode, attentionChunk, headRows, smooth } = this.#options
    return {
      ...options,
      checkpoint,
      dropout: mode.type === 'lora' ? mode.lora.dropout : 0,
      ...(attentionChunk !== undefined && { attentionChunk }),
      ...(headRows !== undefined && { headRows }),
      ...(smooth !== undefined && { smooth }),
    }
  }

  #allocate(graph: Graph): void {
    const { ggml, backend } = this.#base
    graph.tape.checkOperations()
    if (!ggml.gallocr_alloc_graph(this.#allocator, graph.tape.graph)) {
      throw new HubError(
        'insufficient_memory',
        `${backend.device.name} has no memory for rows of ${graph.length} tokens; take shorter rows or a smaller rank`,
      )
    }
  }

  #allocated(): number {
    return Number(this.#base.ggml.gallocr_get_buffer_size(this.#allocator, 0))
  }

  #freeGraphs(): void {
    for (const graph of this.#graphs.values()) graph.tape.free()
    this.#graphs.clear()
    this.#base.ggml.gallocr_free(this.#allocator)
  }
}
