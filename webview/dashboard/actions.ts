/** What the dashboard asks the hub to do with models. Each can fail; the reason stays with its model until the next try. */
import { useCallback, useMemo, useState } from 'react'
import type { ModelPatch, ModelStatusOut } from '../../server/wire/system.ts'
import type { Bridge } from '../bridge.ts'
import { toHubFailure } from '../failure.ts'

export type ModelActions = {
  load(model: string): Promise<void>
  unload(model: string): Promise<void>
  /** Unloads those that are idle, then loads the model. */
  makeRoom(model: string, others: readonly string[]): Promise<void>
  change(model: string, changes: ModelPatch): Promise<void>
  /** Sets the context of the model, then loads it. */
  loadSmaller(model: string, contextTokens: number): Promise<void>
}

export type Acting = ModelActions & {
  /** Why the last action failed, by model. */
  failures: { [model: string]: string }
  /** Models for which something is being done now. */
  busy: ReadonlySet<string>
}

/** @param done is told after each action: what is known of the models is older than it */
export function useModelActions(bridge: Bridge, done: () => void): Acting {
  const [failures, setFailures] = useState<{ [model: string]: string }>({})
  const [busy, setBusy] = useState<ReadonlySet<string>>(new Set())
  const act = useCallback(
    async (model: string, action: () => Promise<unknown>): Promise<void> => {
      setFailures(({ [model]: _, ...rest }) => rest)
      setBusy(before => new Set([...before, model]))
      try {
        await action()
      } catch (thrown) {
        const { message } = toHubFailure(thrown)
        setFailures(before => ({ ...before, [model]: message }))
      } finally {
        setBusy(before => new Set([...before].filter(each => each !== model)))
        done()
      }
    },
    [done],
  )
  return useMemo(() => {
    const post = (action: 'load' | 'unload', model: string): Promise<ModelStatusOut> =>
      bridge.request('POST', `/v1/models/${action}`, { model })
    const patch = (model: string, changes: ModelPatch): Promise<ModelStatusOut> =>
      bridge.request('PATCH', `/v1/models/${encodeURIComponent(model)}`, changes)
    return {
      failures,
      busy,
      load: model => act(model, () => post('load', model)),
      unload: model => act(model, () => post('unload', model)),
      makeRoom: (model, others) =>
        act(model, async () => {
          for (const other of others) await post('unload', other)
          await post('load', model)
        }),
      change: (model, changes) => act(model, () => patch(model, changes)),
      loadSmaller: (model, contextTokens) =>
        act(model, async () => {
          await patch(model, { context_size: contextTokens })
          await post('load', model)
        }),
    }
  }, [bridge, act, failures, busy])
}
