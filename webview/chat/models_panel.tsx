/** The models of this hub: their states, what they take, and buttons to load and unload them. */
import { useState } from 'react'
import type { ModelStatusOut } from '../../server/wire/system.ts'
import { toHubFailure } from '../failure.ts'
import { GetModel, Pulls } from '../get_model.tsx'
import { IconButton } from '../icons.tsx'
import { useStore } from '../store.ts'
import { sizeText, useLanguage, useText } from '../texts.ts'
import { useOpened } from './opened.ts'
import type { Parts } from './parts.ts'

export function ModelsPanel({ bridge, hub, close }: Parts & { close(): void }) {
  const panel = useOpened()
  const t = useText()
  const language = useLanguage()
  const { models, load, system } = useStore(hub, state => state)
  const [failures, setFailures] = useState<{ [model: string]: string }>({})
  const memory = load?.memory ?? system?.memory
  const used = memory === undefined ? 0 : memory.total_bytes - memory.available_bytes

  async function act(model: string, action: 'load' | 'unload'): Promise<void> {
    setFailures(({ [model]: _, ...rest }) => rest)
    try {
      await bridge.request('POST', `/v1/models/${action}`, { model })
    } catch (thrown) {
      const { message } = toHubFailure(thrown)
      setFailures(before => ({ ...before, [model]: message }))
    }
  }

  return (
    <aside className="panel" aria-label={t.models} tabIndex={-1} ref={panel}>
      <div className="panel-head">
        <h2>{t.models}</h2>
        <IconButton icon="close" label={t.close} onClick={close} />
      </div>
      {memory !== undefined && (
        <Meter
          label={t.memory}
          part={used / memory.total_bytes}
          text={t.memoryUsed(sizeText(used, language), sizeText(memory.total_bytes, language))}
        />
      )}
      {load !== undefined && <Meter label={t.processor} part={load.cpu} text={`${Math.round(load.cpu * 100)}%`} />}
      <ul className="models">
        {models.map(model => (
          <Model
            key={model.id}
            model={model}
            busy={load?.models.some(({ id, busy }) => id === model.id && busy > 0) === true}
            failure={failures[model.id]}
            act={action => void act(model.id, action)}
          />
        ))}
      </ul>
      {models.length === 0 && <p className="hint">{t.noModelTitle}</p>}
      <h3>{t.getModel}</h3>
      <Pulls bridge={bridge} hub={hub} />
      <GetModel bridge={bridge} hub={hub} />
    </aside>
  )
}

function Model(props: {
  model: ModelStatusOut
  busy: boolean
  failure: string | undefined
  act(action: 'load' | 'unload'): void
}) {
  const { model, busy, failure, act } = props
  const t = useText()
  const language = useLanguage()
  const { state, facts, worker } = model
  const problem = failure ?? model.error
  return (
    <li className={model.parent === undefined ? '' : 'child'}>
      <div className="model-line">
        <span className="model-name">{model.id}</span>
        {(state === 'unloaded' || state === 'failed') && (
          <button type="button" className="secondary" aria-label={`${t.load} ${model.id}`} onClick={() => act('load')}>
            {t.load}
          </button>
        )}
        {state === 'ready' && (
          <button
            type="button"
            className="secondary"
            aria-label={`${t.unload} ${model.id}`}
            onClick={() => act('unload')}
          >
            {t.unload}
          </button>
        )}
      </div>
      <div className={`model-state ${state}`}>
        <span className="dot" aria-hidden="true" />
        {t.state[state]}
        {state === 'loading' && ` ${Math.round((model.progress ?? 0) * 100)}%`}
        {busy && ` · ${t.inUse}`} · {sizeText(worker?.memory_bytes ?? model.bytes, language)}
        {facts !== undefined &&
          model.parent === undefined &&
          ` · ${facts.quantization} · ${worker?.context_tokens ?? facts.context_length} ctx`}
        {worker !== undefined && ` · ${worker.device}`}
      </div>
      {model.description !== undefined && <div className="hint">{model.description}</div>}
      {problem !== undefined && <div className="problem">{problem}</div>}
    </li>
  )
}

export function Meter({ label, part, text }: { label: string; part: number; text: string }) {
  return (
    <div className="meter">
      <span>{label}</span>
      <meter
        aria-label={label}
        aria-valuetext={text}
        min={0}
        max={1}
        high={0.9}
        value={Math.min(1, Math.max(0, part))}
      />
      <span className="hint">{text}</span>
    </div>
  )
}
