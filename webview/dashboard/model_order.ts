/** In which order models are listed. */
import type { ModelStatusOut } from '../../server/wire/system.ts'

/** Loaded ones first, each base with its adapters behind it. */
export function ordered(models: readonly ModelStatusOut[]): ModelStatusOut[] {
  const rank = ({ state, toy }: ModelStatusOut): number =>
    (state === 'broken' ? 4 : state === 'ready' || state === 'loading' ? 0 : 2) + (toy === true ? 1 : 0)
  const bases = models.filter(({ parent }) => !models.some(({ id }) => id === parent))
  return bases
    .toSorted((a, b) => rank(a) - rank(b) || a.id.localeCompare(b.id))
    .flatMap(base => [base, ...models.filter(({ parent }) => parent === base.id)])
}
