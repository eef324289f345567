/** Causal attention in F32 over chunks of queries, so that its memory grows linearly with the row. */
import type { Pointer } from '../native/structs.ts'
import type { Chunk, Network } from './network.ts'
import type { Value } from './tape.ts'

export type ChunkShape = Omit<Chunk, 'mask'>

/**
 * Queries per chunk: few enough for the caches and to skip most of what lies above the diagonal, enough for full products. A GPU
 * wants larger products, and fewer of them.
 */
export const chunkQueries = (length: number, onCpu: boolean): number => Math.min(length, onCpu ? 64 : 128)

/**
 * Cuts a row's queries. Keys that no query of a chunk can see are left out: those before the window, and with `firsts`, the first key
 * that each chunk sees, those of earlier sequences.
 */
export function cutQueries(length: number, size: number, window: number, firsts?: readonly number[]): ChunkShape[] {
  const chunks: ChunkShape[] = []
  for (let start = 0; start < length; start += size) {
    const count = Math.min(size, length - start)
    const first = Math.max(firsts?.[chunks.length] ?? 0, window > 0 ? start - window + 1 : 0)
    // Kernels like lengths that are multiples of 32.
    const low = Math.floor(first / 32) * 32
    chunks.push({ start, count, low, keys: start + count - low })
  }
  return chunks
}

/** The first key that each chunk of queries sees of a packed row: where the sequence of its first query begins. */
export function firstKeys(segments: Int32Array, length: number, size: number): number[] {
  const firsts: number[] = []
  // Behind the row lies padding, as one more sequence.
  const segment = (i: number): number => segments[i] ?? -1
  for (let i = 0, begin = 0; i < length; i++) {
    if (segment(i) !== segment(i - 1)) begin = i
    if (i % size === 0) firsts.push(begin)
  }
  return firsts
}

/** Keys times queries. */
export const seenPairs = (chunks: readonly ChunkShape[]): number =>
  chunks.reduce((sum, { keys, count }) => sum + keys * count, 0)

/** The mask of a chunk: a query sees its own segment, up to itself, and within the window. Padding sees padding, so that no row is empty. */
export function maskOf(chunk: ChunkShape, segments: Int32Array, window: number): Float32Array {
  const { start, count, low, keys } = chunk
  const mask = new Float32Array(keys * count).fill(-Infinity)
  for (let i = 0; i < count; i++) {
    const query = start + i
    const first = window > 0 ? Math.max(low, query - window + 1) : low
    for (let key = query; key >= first && segments[key] === segments[query]; key--) mask[i * keys + key - low] = 0
  }
  return mask
}

export type AttentionSettings = {
  /** Scores are multiplied by it. */
  scale: number
  /** Soft cap: scores become cap x tanh(score / cap); 0 for none. */
  cap: number
  window: number
}

/** q [size, heads, T], k and v [size, kvHeads, T], all contiguous -> [size x heads, T]. */
export function attention(net: Network, q: Value, k: Value, v: Value, settings: AttentionSettings): Value {
  const { tape, length, numbers } = net
  const { op } = tape
  const { heads, kvHeads, headSize: size } = numbers
  const group = heads / kvHeads
  const chunks = net.chunks(settings.window)
  const whole = chunks.length === 1
  const kept = net.keeps(settings.window)

  // Heads of one KV group lie behind one another as further queries, so that no sum over a group is needed later.
  const split = (x: Pointer, { start, count }: Chunk, step: number): Pointer => {
    const cut = op.view_3d(x, size, heads, count, size * 4, step, start * step) // [size, heads, count]
    return op.reshape_3d(op.cont(op.permute(cut, 0, 2, 1, 3)), size, count * group, kvHeads)
  }
  const join = (x: Pointer, { count }: Chunk): Pointer => {
    const byHead = op.reshape_3d(x, size, count, heads)
    return op.reshape_2d(op.cont(op.permute(byHead, 0, 2, 1, 3)), size * heads, count)
  }
  const step = size * heads * 4
  const keysOf = (x: Pointer, { low, keys }: Chunk): Pointer =>
    whole ? x : tape.operand(op.view_3d(x, size, keys, kvHeads, size * 4, size * length * 4, low * size * 4)) // [size, keys, kvHeads]
  const columnsOf = (x: Pointer, { low, keys }: Chunk): Pointer =>
    whole ? x : tape.operand(op.view_3d(x, keys, size, kvHeads, length * 4, length * size * 4, low * 4)) // [keys, size, kvHeads]
  const rows = (x: Value) => op.cont(op.permute(x.tensor, 0, 2, 1, 3)) // [size, T, kvHeads]
  const columns = (x: Value) => op.cont(op.permute(x.tensor, 1, 2, 0, 3)) // [T, size, kvHeads]

  const K = rows(k)
  const probabilities = (chunk: Chunk) => {
    const { keys, count, mask } = chunk
    const Q = split(q.tensor, chunk, step)
    const scores = op.reshape_3d(op.mul_mat(keysOf(K, chunk), Q), keys, count, heads)
    if (settings.cap === 0) return { Q, P: op.soft_max_ext(scores, mask, settings.scale, 0) }
    const bounded = op.tanh(op.scale(scores, settings.scale / settings.cap))
    return { Q, bounded, P: op.soft_max_ext(op.scale(bounded, settings.cap), mask, 1, 0) }
  }
  const VT = columns(v)
  const seen: ReturnType<typeof probabilities>[] = []
  const outputs = chunks.map(chunk => {
    const result = probabilities(chunk)
    if (kept && tape.recording) seen.push(result)
    const P = op.reshape_3d(result.P, chunk.keys, chunk.count * group, kvHeads)
    return join(op.mul_mat(columnsOf(VT, chunk), P), chunk)
  })
  const y: Value = {
    tensor: concatenate(net, outputs),
    shape: [size * heads, length, 1, 1],
    type: q.type,
    needs: q.needs || k.needs || v.needs,
  }
  return tape.record(y, dy => {
    const V = rows(v)
    const KT = q.needs ? columns(k) : undefined
    let dK: Pointer | undefined
    let dV: Pointer | undefined
    const dQ: Pointer[] = []
    // Adds a chunk's share [size, keys, kvHeads] to the whole [size, T, kvHeads].
    const add = (total: Pointer | undefined, part: Pointer, { low }: Chunk): Pointer =>
      whole
        ? part
        : op.acc_inplace(
            total ?? op.scale(V, 0),
            part,
            size * 4,
            size * length * 4,
            size * length * kvHeads * 4,
            low * size * 4,
          )
    chunks.forEach((chunk, i) => {
      const { keys, count } = chunk
      const { Q, P, bounded } = seen[i] ?? probabilities(chunk)
      const dO = split(dy, chunk, step)
      const dP = op.reshape_3d(op.mul_mat(keysOf(V, chunk), dO), keys, count, heads)
      // The CPU's SOFT_MAX_BACK is wrong when its result lies over P: P is used once more below, so it does not.
      let dS = op.soft_max_ext_back(dP, P, bounded === undefined ? settings.scale : 1, 0)
      const grouped = op.reshape_3d(P, keys, count * group, kvHeads)
      dV = add(dV, op.out_prod(dO, grouped), chunk)
      if (bounded !== undefined) dS = op.mul(dS, op.scale_bias(op.sqr(bounded), -settings.scale, settings.scale))
      const dScores = op.reshape_3d(dS, keys, count * group, kvHeads)
      if (KT !== undefined) dQ.push(join(op.mul_mat(columnsOf(KT, chunk), dScores), chunk))
      if (k.needs) dK = add(dK, op.out_prod(Q, dScores), chunk)
    })
    const back = (x: Pointer) => op.cont(op.permute(x, 0, 2, 1, 3)) // [size, kvHeads, T]
    if (dV !== undefined) tape.addGradient(v, back(dV))
    if (dK !== undefined) tape.addGradient(k, back(dK))
    if (dQ.length > 0) tape.addGradient(q, op.reshape_3d(concatenate(net, dQ), size, heads, length))
  })
}

/** Joins pieces along the second dimension, in pairs, so that each byte is copied a few times only. */
function concatenate(net: Network, pieces: Pointer[]): Pointer {
  let left = pieces
  while (left.length > 1) {
    const next: Pointer[] = []
    for (let i = 0; i < left.length; i += 2) {
      const other = left[i + 1]
      next.push(other === undefined ? left[i]! : net.tape.op.concat(left[i]!, other, 1))
    }
    left = next
  }
  return left[0]!
}
