/** The numbers of the recipe: the model's shape, and how long and how fast it learns. */
import type { TrainerJobInput } from '../../server/wire/trainer.ts'
import type { About, Shape } from './gguf.ts'
import { ROW } from './samples.ts'

export const VOCABULARY = 6000

/** 4.3 million numbers: what two cores can fill within a few hours. */
export const SHAPE: Shape = {
  width: 256,
  layers: 4,
  feedForward: 640,
  heads: 4,
  kvHeads: 2,
  headSize: 64,
  context: 1024,
}

/** 26 million numbers, for a machine with a GPU. */
export const LARGE_SHAPE: Shape = {
  width: 512,
  layers: 8,
  feedForward: 1408,
  heads: 8,
  kvHeads: 4,
  headSize: 64,
  context: 1024,
}

export const ABOUT: About = {
  name: 'starter',
  description:
    'A toy model of code and short answers, trained from a random start by this project; not a useful assistant.',
  licence: 'mit',
}

/** Every pass goes once over the corpus, cut anew. */
export const PASSES = 2
export const SEED = 20_26
/** Vietnamese is a small part of the text: it counts more for the vocabulary and comes more often. */
export const VIETNAMESE_WEIGHT = 8
export const VIETNAMESE_TIMES = 3

const OPTIMIZER = { beta1: 0.9, beta2: 0.98, weightDecay: 0.1, maxGradNorm: 1 }

export const STAGE1: Omit<TrainerJobInput, 'base' | 'tokens' | 'output'> = {
  mode: { type: 'full', randomStart: true },
  rowTokens: ROW,
  buckets: [ROW],
  rowsPerStep: 4,
  epochs: 1,
  maxSteps: 2036,
  rate: 3e-3,
  warmupShare: 0.04,
  // The second stage goes on from here and takes the rate down.
  finalShare: 0.27,
  optimizer: OPTIMIZER,
  validateEverySteps: 250,
  checkpointEverySteps: 100,
  seed: SEED,
  layerCheckpointing: false,
  lowPriority: false,
}

/** The forms in which it is asked, infill and chat, with longer rows, so that the model's whole context is known to it. */
export const STAGE2: Omit<TrainerJobInput, 'base' | 'tokens' | 'output'> = {
  ...STAGE1,
  mode: { type: 'full' },
  rowTokens: 2 * ROW,
  buckets: [2 * ROW],
  rowsPerStep: 2,
  maxSteps: 446,
  rate: 1e-3,
  warmupShare: 0.07,
  finalShare: 0.67,
  validateEverySteps: 100,
}

/** The same with more chat and less of the rest, until the rate is down. */
export const STAGE3: Omit<TrainerJobInput, 'base' | 'tokens' | 'output'> = {
  ...STAGE2,
  maxSteps: 520,
  rate: 7e-4,
  warmupShare: 0.02,
  finalShare: 0.02,
  validateEverySteps: 50,
}

export type Mix = {
  /** Which pass over the documents and over the chat this is: each is cut and ordered in its own way. */
  pass: number
  chatPasses: number
  /** How often in a pass, where it is not once, exchanges of a topic come. */
  times: { [topic: string]: number }
  /** Tokens of documents, so that they are not forgotten, and of lines to be filled in. */
  documentTokens: number
  infillTokens: number
}
export const MIX2: Mix = { pass: PASSES, chatPasses: 4, times: {}, documentTokens: 850_000, infillTokens: 1_050_000 }
export const MIX3: Mix = {
  pass: PASSES + 1,
  chatPasses: 3,
  times: { greetings: 3, product: 2 },
  documentTokens: 260_000,
  infillTokens: 250_000,
}
