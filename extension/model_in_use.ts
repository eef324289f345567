/** What the status bar makes of the events: which model answers, and how fast it writes. */
import type { ModelBrief } from '../server/wire/events.ts'
import type { SystemLoad } from '../server/wire/load.ts'
import type { ModelStatusOut } from '../server/wire/system.ts'

/**
 * @param named the model of the settings, or '' for none
 * @returns undefined when there is no model at all, or the named one is not there
 */
export function modelInUse(models: readonly ModelBrief[], named: string): ModelBrief | undefined {
  if (named !== '') return models.find(model => model.id === named)
  const rank = (model: ModelBrief): number[] => [
    model.in_use > 0 ? 0 : 1,
    model.state === 'ready' ? 0 : model.state === 'loading' ? 1 : 2,
    model.folder === 'code_models' ? 0 : 1,
    model.bytes,
  ]
  return models
    .filter(model => model.parent === undefined && model.state !== 'broken')
    .sort((a, b) => {
      const other = rank(b)
      return rank(a).reduce((order, value, index) => order || value - (other[index] ?? 0), 0)
    })[0]
}

type Row = Pick<ModelStatusOut, 'id' | 'parent' | 'state' | 'folder' | 'bytes' | 'toy' | 'facts'>

/** Id of the model that suggests code, named or by the hub's own choice; undefined where none does. */
export function suggestingModel(
  models: readonly Row[],
  { enabled, model: named }: { enabled: boolean; model: string },
): string | undefined {
  if (!enabled) return undefined
  if (named !== '') return named
  const best = (folder: Row['folder'], fits: (facts: NonNullable<Row['facts']>) => boolean): string | undefined => {
    const rank = (row: Row): number[] => [
      row.toy === true ? 1 : 0,
      row.state === 'ready' ? 0 : 1,
      row.folder === folder ? 0 : 1,
      row.bytes,
    ]
    return models
      .filter(({ parent, state, facts }) => parent === undefined && state !== 'broken' && facts?.kind === 'model')
      .filter(({ facts }) => facts !== undefined && fits(facts))
      .sort((a, b) => {
        const other = rank(b)
        return rank(a).reduce((order, value, index) => order || value - (other[index] ?? 0), 0)
      })[0]?.id
  }
  return best('code_models', ({ fim }) => fim) ?? best('chat_models', ({ pooling }) => pooling === undefined)
}

/** Tokens per second between two looks; undefined when none was written. */
export function tokenRate(before: SystemLoad | undefined, now: SystemLoad): number | undefined {
  if (before === undefined || now.at_ms <= before.at_ms) return undefined
  let tokens = 0
  for (const model of now.models) {
    const earlier = before.models.find(each => each.id === model.id)?.decoded_tokens ?? 0
    tokens += Math.max(0, model.decoded_tokens - earlier)
  }
  return tokens === 0 ? undefined : (tokens * 1000) / (now.at_ms - before.at_ms)
}
