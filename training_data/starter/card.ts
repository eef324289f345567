/** The model's card: what it is, what it learned from, and what was measured. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import type { Sidecar } from '../../server/wire/model.ts'
import type { Corpus } from './corpus.ts'
import type { Evaluation } from './evaluate.ts'
import type { Shape } from './gguf.ts'
import type { Curve } from './plot.ts'

export type Demo = {
  package: string
  /** Nats per token, on pieces of the package's code that the adapter did not see. */
  loss_before: number
  loss_after: number
  minutes: number
  threads: number
}

export type Card = Sidecar & {
  toy: true
  license: string
  limits: string
  evaluation?: Evaluation & { machine: string; lora_demo?: Demo }
  training: {
    parameters: number
    shape: Shape
    vocabulary: number
    corpus_bytes: { [kind: string]: number }
    stages: { name: string; steps: number; tokens: number; training_loss: number; validation_loss: number }[]
    loss_plot: string
  }
  /** Packages that were learned from, with version and licence; and those that were kept for testing. */
  packages: string[]
  held_out: string[]
}

export function makeCard(facts: {
  corpus: Corpus
  curves: Curve[]
  tokensPerStep: number[]
  parameters: number
  shape: Shape
  vocabulary: number
}): Card {
  const { corpus, curves, tokensPerStep, parameters, shape, vocabulary } = facts
  const bytes: { [kind: string]: number } = {}
  for (const { kind, text } of corpus.training) bytes[kind] = (bytes[kind] ?? 0) + Buffer.byteLength(text)
  const named = (heldOut: boolean): string[] =>
    corpus.packages
      .filter(each => each.heldOut === heldOut)
      .map(({ name, version, licence }) => `${name}@${version} (${licence})`)
  const last = (points: [number, number][], count: number): number => {
    const part = points.slice(-count)
    return rounded(part.reduce((sum, [, loss]) => sum + loss, 0) / part.length)
  }
  return {
    description: 'A toy: completes lines of code a little and gives short answers about this program.',
    toy: true,
    license: 'MIT',
    limits:
      'It knows next to nothing of the world, is often wrong, and is of no use for real work. It shows that everything works, and is something to train on.',
    specialties: ['code', 'completion', 'chat'],
    languages: ['en', 'vi'],
    // So small a model falls into loops, which the penalty ends.
    sampling: { temperature: 0.2, top_k: 20, top_p: 0.9, frequency_penalty: 0.3 },
    training: {
      parameters,
      shape,
      vocabulary,
      corpus_bytes: bytes,
      stages: curves.map(({ name, training, validation }, index) => ({
        name,
        steps: training.at(-1)?.[0] ?? 0,
        tokens: (training.at(-1)?.[0] ?? 0) * tokensPerStep[index]!,
        training_loss: last(training, 50),
        validation_loss: last(validation, 1),
      })),
      loss_plot: 'training_data/starter/loss.svg',
    },
    packages: named(false),
    held_out: named(true),
  }
}

export function writeCard(path: string, card: Card): void {
  writeFileSync(path, `${JSON.stringify(card, undefined, 2)}\n`)
}

/** Undefined where there is none. */
export function readCard(path: string): Card | undefined {
  return existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as Card) : undefined
}

/** Names without version and licence. */
export const heldOutNames = (card: Card): string[] => card.held_out.map(entry => entry.replace(/@[^@]*$/, ''))

const rounded = (value: number): number => Math.round(value * 10_000) / 10_000
