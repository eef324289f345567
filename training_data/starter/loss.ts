/** How well a model predicts: bits of whole texts, and the mean loss of a token file. */
import { readTokenFile } from '../../server/trainer/data.ts'
import { openModel } from '../../server/trainer/model.ts'
import { allUnits } from '../../server/trainer/steps.ts'
import type { TrainerModel } from '../../server/trainer/types.ts'
import type { Tokenizer } from './tokenizer.ts'

const open = (path: string, rowTokens: number): Promise<TrainerModel> =>
  openModel({
    path,
    library: 'cpu',
    threads: 1,
    mode: { type: 'full', randomStart: false },
    seed: 1,
    // Short texts need no long graph.
    buckets: [rowTokens / 4, rowTokens / 2, rowTokens],
    checkpoint: false,
  })

/** Bits that the model needs for the texts: each token is predicted from at least half a context of what stands before it. */
export async function bitsOf(path: string, tokenizer: Tokenizer, texts: readonly string[]): Promise<number> {
  const window = 1024
  const model = await open(path, window)
  try {
    let bits = 0
    for (const text of texts) {
      const tokens = tokenizer.encode(text)
      // The first one is predicted from nothing.
      bits += Math.log2(tokenizer.size)
      for (let from = 0; from === 0 || from + window / 2 < tokens.length; from += window / 2) {
        const piece = Int32Array.from(tokens.slice(from, from + window))
        const fresh = from === 0 ? 1 : window / 2
        const { loss } = await model.evaluate({
          tokens: piece,
          positions: Int32Array.from(piece.keys()),
          segments: new Int32Array(piece.length),
          weights: Float32Array.from(piece, (_, index) => (index < fresh ? 0 : 1)),
        })
        bits += loss / Math.LN2
      }
    }
    return bits
  } finally {
    model.free()
  }
}

/** Mean loss over a token file in nats per token, as the trainer's own validation counts it. */
export async function lossOn(path: string, tokens: string): Promise<number> {
  const rowTokens = 512
  const { sequences } = readTokenFile(tokens)
  const model = await open(path, rowTokens)
  try {
    const units = allUnits(
      sequences.map(sequence => [sequence]),
      { preferences: false, rowTokens },
    )
    let [sum, weights] = [0, 0]
    for (const unit of units) {
      if (unit.type !== 'row') continue
      const { loss, weight } = await model.evaluate(unit.row)
      sum += loss
      weights += weight
    }
    return sum / weights
  } finally {
    model.free()
  }
}
