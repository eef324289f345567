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
  maxSteps: 3000,
  rate: 3e-3,
  warmupShare: 0.03,
  finalShare: 0.03,
  optimizer: OPTIMIZER,
  validateEverySteps: 250,
  checkpointEverySteps: 100,
  seed: SEED,
  layerCheckpointing: false,
  lowPriority: false,
}

/** The chat form, with longer rows, so that the model's whole context is known to it. */
export const STAGE2: Omit<TrainerJobInput, 'base' | 'tokens' | 'output'> = {
  ...STAGE1,
  mode: { type: 'full' },
  rowTokens: 2 * ROW,
  buckets: [2 * ROW],
  rowsPerStep: 2,
  maxSteps: 1150,
  rate: 1e-3,
  warmupShare: 0.03,
  validateEverySteps: 100,
}
export const CHAT_PASSES = 4
/** Tokens of the second stage beside the chat: documents, so that they are not forgotten, and lines to be filled in. */
export const DOCUMENT_TOKENS = 850_000
export const INFILL_TOKENS = 1_050_000
