/** Which model answers, with its state; adapters stand beside their base. */
import type { ModelStatusOut } from '../../server/wire/system.ts'
import { chatModels, expectedLoadMs } from '../hub_state.ts'
import { useStore } from '../store.ts'
import { sizeText, useLanguage, useText } from '../texts.ts'
import type { Parts } from './parts.ts'

export function ModelPicker({ bridge, hub, session }: Parts) {
  const t = useText()
  const models = useStore(hub, state => state.models)
  const known = useStore(hub, state => state.known)
  const model = useStore(session.store, state => state.model)
  const second = useStore(session.store, state => state.second)
  const usable = chatModels(models)
  const chosen = usable.find(({ id }) => id === model)

  return (
    <div className="picker">
      <select
        aria-label={t.model}
        value={chosen?.id ?? ''}
        disabled={usable.length === 0}
        onChange={event => session.setModel(event.target.value)}
      >
        {chosen === undefined && <option value="">{known ? t.noModel : '…'}</option>}
        <Choices models={usable} />
      </select>
      {usable.length > 1 && (
        <select
          className="second"
          aria-label={t.compare}
          title={t.compare}
          value={second}
          onChange={event => session.setSecond(event.target.value)}
        >
          <option value="">
            {t.compareWith}: {t.noCompare}
          </option>
          <Choices models={usable.filter(({ id }) => id !== model)} />
        </select>
      )}
      {chosen !== undefined && <State model={chosen} seconds={Math.ceil(expectedLoadMs(bridge, chosen) / 1000)} />}
    </div>
  )
}

function Choices({ models }: { models: ModelStatusOut[] }) {
  const t = useText()
  const language = useLanguage()
  const one = (model: ModelStatusOut) => (
    <option key={model.id} value={model.id}>
      {`${model.id}${model.parent === undefined ? '' : ` (${t.adapter})`} · ${t.state[model.state]} · ${sizeText(model.bytes, language)}`}
    </option>
  )
  const bases = models.filter(({ parent }) => !models.some(({ id }) => id === parent))
  return bases.map(base => {
    const adapters = models.filter(({ parent }) => parent === base.id)
    if (adapters.length === 0) return one(base)
    return (
      <optgroup key={base.id} label={base.id}>
        {one(base)}
        {adapters.map(one)}
      </optgroup>
    )
  })
}

function State({ model, seconds }: { model: ModelStatusOut; seconds: number }) {
  const t = useText()
  if (model.state === 'loading') {
    return (
      <span className="model-state">
        <progress aria-label={t.loadingModel(model.id)} value={model.progress ?? 0} max={1} />
        {Math.round((model.progress ?? 0) * 100)}%
      </span>
    )
  }
  const text = model.state === 'unloaded' ? t.loadsIn(seconds) : t.state[model.state]
  return (
    <span className={`model-state ${model.state}`} title={model.error}>
      <span className="dot" aria-hidden="true" />
      {text}
    </span>
  )
}
