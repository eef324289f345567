/** What is wrong, or could be better, with what would help; the worst first. */
import type { SettingsAnswer } from '../../server/wire/settings.ts'
import type { ModelStatusOut, SystemStatus } from '../../server/wire/system.ts'

export type Problem =
  | {
      kind: 'no_memory'
      model: string
      message: string
      /** Idle models whose memory it could have. */
      others: string[]
      /** Tokens of context with which it needs clearly less. */
      context?: number
    }
  | { kind: 'failed'; model: string; message: string }
  | { kind: 'broken'; model: string; message: string }
  | { kind: 'restart'; settings: string[] }
  | { kind: 'no_gpu'; reasons: { library: string; reason: string }[] }

/** A context of less is of little use. */
const LEAST_CONTEXT = 512
/** A smaller context that saves a smaller part of the need is no help. */
const LEAST_SAVING = 0.05

export function findProblems(known: {
  models: readonly ModelStatusOut[]
  system: SystemStatus | undefined
  settings: SettingsAnswer | undefined
}): Problem[] {
  const { models, system, settings } = known
  const problems: Problem[] = []
  for (const model of models) {
    const { id, state, error = '', error_code } = model
    if (state !== 'failed') continue
    if (error_code === 'insufficient_memory') {
      const context = smallerContext(model, Number(settings?.settings.contextTokens) || undefined)
      problems.push({
        kind: 'no_memory',
        model: id,
        message: error,
        others: idleOthers(models, id),
        ...(context !== undefined && { context }),
      })
    } else problems.push({ kind: 'failed', model: id, message: error })
  }
  for (const { id, state, error = '' } of models) {
    if (state === 'broken') problems.push({ kind: 'broken', model: id, message: error })
  }
  const waiting = settings?.restart_needed ?? []
  if (waiting.length > 0) problems.push({ kind: 'restart', settings: waiting })
  const backends = system?.backends ?? []
  // A hub that was told to use the processor looked for nothing else.
  if (settings?.settings.device !== 'cpu' && backends.length > 0 && !backends.some(isGpu)) {
    const reasons = backends.flatMap(({ library, reason }) => (reason === undefined ? [] : [{ library, reason }]))
    if (reasons.length > 0) problems.push({ kind: 'no_gpu', reasons })
  }
  return problems
}

const isGpu = ({ kind, works }: SystemStatus['backends'][number]): boolean => works && kind !== 'cpu'

/** Resident models that nobody uses, but for one. The hub itself makes room with all but the pinned, so these are mostly pinned. */
export function idleOthers(models: readonly ModelStatusOut[], but: string): string[] {
  return models
    .filter(({ id, state, in_use, parent }) => id !== but && parent === undefined && state === 'ready' && in_use === 0)
    .map(({ id }) => id)
}

/** Tokens of context with which a model would be loaded now: its card's, else the setting's, at most what it was trained for. */
export function plannedContext(
  { facts, context_size }: Pick<ModelStatusOut, 'facts' | 'context_size'>,
  setting: number | undefined,
): number | undefined {
  const wanted = context_size ?? setting
  if (facts === undefined || wanted === undefined) return undefined
  return facts.context_length > 0 ? Math.min(wanted, facts.context_length) : wanted
}

/** Half the context that the model would get, again and again until it saves something. */
export function smallerContext(model: ModelStatusOut, setting: number | undefined): number | undefined {
  const { facts, estimated_bytes } = model
  const now = plannedContext(model, setting)
  if (facts === undefined || now === undefined) return undefined
  for (let context = Math.floor(now / 2); context >= LEAST_CONTEXT; context = Math.floor(context / 2)) {
    const saved = (now - context) * facts.kv_bytes_per_token
    if (saved >= estimated_bytes * LEAST_SAVING) return context
  }
  return undefined
}
