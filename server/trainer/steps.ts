/** The steps of a run: which samples make which row of which step, the same whenever it is asked. */
import type { Sample } from './data.ts'
import { makeRow, packRows, rowWeight } from './pack.ts'
import { randomAt, shuffle } from './random.ts'
import type { Row } from './types.ts'

/** What one accumulation takes: a packed row, or a preference pair. */
export type Unit = { type: 'row'; row: Row } | { type: 'pair'; chosen: Row; rejected: Row }

export type StepsOptions = {
  preferences: boolean
  rowTokens: number
  unitsPerStep: number
  epochs: number
  /** Undefined for no limit. */
  maxSteps: number | undefined
  seed: number
}

export class Steps {
  readonly total: number
  readonly #samples: readonly Sample[]
  readonly #lengths: Int32Array
  readonly #options: StepsOptions
  #epoch = -1
  #units: number[][] = []

  constructor(samples: readonly Sample[], options: StepsOptions) {
    this.#samples = samples
    this.#options = options
    this.#lengths = Int32Array.from(samples, sample => sample.reduce((sum, { tokens }) => sum + tokens.length, 0))
    const limit = options.maxSteps ?? Number.POSITIVE_INFINITY
    let total = 0
    for (let epoch = 0; epoch < options.epochs && total < limit; epoch++) total += this.stepsOf(epoch)
    this.total = Math.min(total, limit)
  }

  stepsOf(epoch: number): number {
    return Math.ceil(this.#unitsOf(epoch).length / this.#options.unitsPerStep)
  }

  /** @param step from 0, within the epoch */
  units(epoch: number, step: number): Unit[] {
    const { unitsPerStep } = this.#options
    const indices = this.#unitsOf(epoch).slice(step * unitsPerStep, (step + 1) * unitsPerStep)
    return indices.map(members => makeUnit(members.map(index => this.#samples[index]!)))
  }

  #unitsOf(epoch: number): number[][] {
    if (epoch !== this.#epoch) {
      const { preferences, rowTokens, seed } = this.#options
      this.#units = preferences
        ? Array.from(shuffle(Int32Array.from(this.#lengths.keys()), randomAt(seed, epoch)), index => [index])
        : packRows(this.#lengths, rowTokens, seed, epoch)
      this.#epoch = epoch
    }
    return this.#units
  }
}

function makeUnit(samples: Sample[]): Unit {
  const [first] = samples
  if (first?.length === 2) return { type: 'pair', chosen: makeRow([first[0]!]), rejected: makeRow([first[1]!]) }
  return { type: 'row', row: makeRow(samples.map(([sequence]) => sequence!)) }
}

/** Everything once, in rows, for validation. */
export function allUnits(samples: readonly Sample[], options: { preferences: boolean; rowTokens: number }): Unit[] {
  if (options.preferences) return samples.map(sample => makeUnit([sample]))
  const lengths = samples.map(([sequence]) => sequence!.tokens.length)
  return packRows(lengths, options.rowTokens, 0, 0).map(members => makeUnit(members.map(index => samples[index]!)))
}

/** Weight of a unit in the mean of its step: the targets' weights, or one pair. */
export const unitWeight = (unit: Unit): number => (unit.type === 'row' ? rowWeight(unit.row) : 1)

export const unitTokens = (unit: Unit): number =>
  unit.type === 'row' ? unit.row.tokens.length : unit.chosen.tokens.length + unit.rejected.tokens.length
