/** Packing: sequences into rows of a given length, first fit, in an order that depends on the seed and the epoch alone. */
import type { Sequence } from './data.ts'
import { randomAt, shuffle } from './random.ts'
import type { Row } from './types.ts'

/** Rows that are filled at the same time: a sequence is tried in so many before a new row begins, so that packing stays linear. */
const OPEN_ROWS = 64

/** @returns indices of the sequences of each row, in training order. @param lengths none above rowTokens */
export function packRows(lengths: ArrayLike<number>, rowTokens: number, seed: number, epoch: number): number[][] {
  const random = randomAt(seed, epoch)
  const order = shuffle(
    Int32Array.from({ length: lengths.length }, (_, index) => index),
    random,
  )
  const rows: number[][] = []
  const open: { members: number[]; left: number }[] = []
  for (const index of order) {
    const length = lengths[index]!
    let row = open.find(candidate => candidate.left >= length)
    if (row === undefined) {
      if (open.length === OPEN_ROWS) {
        // The fullest one gains least from waiting.
        let fullest = 0
        for (let i = 1; i < open.length; i++) if (open[i]!.left < open[fullest]!.left) fullest = i
        open.splice(fullest, 1)
      }
      row = { members: [], left: rowTokens }
      open.push(row)
      rows.push(row.members)
    }
    row.members.push(index)
    row.left -= length
  }
  // First fit fills the early rows best: without this the sparse ones would always come last.
  const places = shuffle(
    Int32Array.from(rows, (_, index) => index),
    random,
  )
  return Array.from(places, place => rows[place]!)
}

/** Sequences behind one another: positions restart, segments count up, the first token of each is no target. */
export function makeRow(sequences: readonly Sequence[]): Row {
  const n = sequences.reduce((sum, sequence) => sum + sequence.tokens.length, 0)
  const row: Row = {
    tokens: new Int32Array(n),
    positions: new Int32Array(n),
    segments: new Int32Array(n),
    weights: new Float32Array(n),
  }
  let at = 0
  for (const [segment, { tokens, weights }] of sequences.entries()) {
    row.tokens.set(tokens, at)
    row.weights.set(weights, at)
    row.weights[at] = 0
    for (let i = 0; i < tokens.length; i++) row.positions[at + i] = i
    row.segments.fill(segment, at, at + tokens.length)
    at += tokens.length
  }
  return row
}

/** Sum of the loss weights: what the loss of a step is divided by. */
export function rowWeight(row: Row): number {
  return row.weights.reduce((sum, weight) => sum + weight, 0)
}

/** Row lengths with a graph each: doubled from 256, and rowTokens itself. */
export function defaultBuckets(rowTokens: number): number[] {
  const buckets: number[] = []
  for (let length = 256; length < rowTokens; length *= 2) buckets.push(length)
  return [...buckets, rowTokens]
}
