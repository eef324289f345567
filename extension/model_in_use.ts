/** Which model the status bar names: the one that answers, as far as the events tell. */
import type { ModelBrief } from '../server/wire/events.ts'

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
