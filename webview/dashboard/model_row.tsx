/** One model: its figures in a line, its buttons, and behind them all that is known of it. */
import { useEffect, useId, useState } from 'react'
import type { ModelStatusOut } from '../../server/wire/system.ts'
import { PageLink } from '../page_link.tsx'
import { useStore } from '../store.ts'
import { useText } from '../texts.ts'
import { type Figures, useFigures } from './figures.ts'
import type { Parts } from './parts.ts'
import { plannedContext } from './problems.ts'
import { useDashboardText } from './texts.ts'
import type { DashboardTexts } from './texts_en.ts'

export function ModelDot({ model }: { model: ModelStatusOut }) {
  const t = useText()
  const { state, progress } = model
  return (
    <span className={`model-state ${state}`}>
      <span className="dot" aria-hidden="true" />
      {t.state[state]}
      {state === 'loading' && ` ${Math.round((progress ?? 0) * 100)}%`}
    </span>
  )
}

export function ModelRow(props: Parts & { model: ModelStatusOut; isOpen: boolean }) {
  const { bridge, acting, model, isOpen } = props
  const d = useDashboardText()
  const t = useText()
  const figures = useFigures()
  const { id, parent, state, facts, worker, measured, description, toy, pin } = model
  const isBase = parent === undefined
  const isBusy = acting.busy.has(id)
  const problem = acting.failures[id] ?? model.error
  const setting = useStore(props.known.store, state => Number(state.settings?.settings.contextTokens) || undefined)
  const contextTokens = worker?.context_tokens ?? plannedContext(model, setting)
  const canChat = state !== 'broken' && facts?.kind === 'model' && facts.pooling === undefined
  return (
    <li className={`model ${isBase ? '' : 'child'}`} id={`model-${id}`}>
      <div className="model-main">
        <div className="model-title">
          <span className="line-name">{id}</span>
          <ModelDot model={model} />
          {toy === true && <span className="tag">{d.toy}</span>}
          {!isBase && <span className="tag">{t.adapter}</span>}
          {model.in_use > 0 && <span className="tag">{t.inUse}</span>}
        </div>
        {(description !== undefined || facts !== undefined) && (
          <div className="hint">{[isBase ? kindOf(model, figures) : '', description].filter(Boolean).join(' · ')}</div>
        )}
      </div>
      <dl className="model-figures">
        {isBase && state !== 'broken' && (
          <>
            <Fact name={t.memory} value={memoryOf(model, figures, d)} />
            <Fact name={t.context} value={contextTokens === undefined ? '–' : figures.count(contextTokens)} />
            <Fact
              name={d.speed}
              value={
                measured?.generation_per_second === undefined
                  ? '–'
                  : d.perSecond(figures.rate(measured.generation_per_second))
              }
            />
          </>
        )}
      </dl>
      <div className="model-actions">
        {canChat && (
          <PageLink bridge={bridge} to="chat" route={`model=${encodeURIComponent(id)}`} name={d.chatWith(id)}>
            {t.chat}
          </PageLink>
        )}
        {isBase && state !== 'broken' && (
          <button
            type="button"
            className="secondary"
            aria-pressed={pin}
            aria-label={`${d.pin} ${id}`}
            title={d.pinHint}
            disabled={isBusy}
            onClick={() => void acting.change(id, { pin: pin ? null : true })}
          >
            {d.pin}
          </button>
        )}
        {(state === 'unloaded' || state === 'failed') && (
          <button
            type="button"
            className="secondary"
            aria-label={`${t.load} ${id}`}
            disabled={isBusy}
            onClick={() => void acting.load(id)}
          >
            {t.load}
          </button>
        )}
        {state === 'loading' && <progress aria-label={t.loadingModel(id)} value={model.progress ?? 0} max={1} />}
        {state === 'ready' && isBase && (
          <button
            type="button"
            className="secondary"
            aria-label={`${t.unload} ${id}`}
            disabled={isBusy}
            onClick={() => void acting.unload(id)}
          >
            {t.unload}
          </button>
        )}
      </div>
      {problem !== undefined && (
        <p className="problem model-problem" role="alert">
          {problem}
        </p>
      )}
      {isBase && facts !== undefined && <Details {...props} isOpen={isOpen} />}
    </li>
  )
}

function Fact({ name, value }: { name: string; value: string }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{value}</dd>
    </div>
  )
}

/** `7.6B · Q4_K_M · 4.7 GB` */
function kindOf({ facts, bytes }: ModelStatusOut, figures: Figures): string {
  if (facts === undefined) return figures.size(bytes)
  return [parameters(facts.parameters), facts.quantization, figures.size(bytes)].join(' · ')
}

const parameters = (count: number): string =>
  count >= 1e9 ? `${(count / 1e9).toFixed(1)}B` : `${Math.max(1, Math.round(count / 1e6))}M`

export function memoryOf(
  { worker, load, estimated_bytes }: ModelStatusOut,
  figures: Figures,
  d: DashboardTexts,
): string {
  if (worker === undefined) return d.about(figures.size(estimated_bytes))
  const own = figures.size(load?.rss_bytes ?? worker.memory_bytes)
  return worker.device_bytes > 0 ? `${own} + ${figures.size(worker.device_bytes)} GPU` : own
}

function Details({ model, acting, isOpen }: Parts & { model: ModelStatusOut; isOpen: boolean }) {
  const d = useDashboardText()
  const t = useText()
  const figures = useFigures()
  const [open, setOpen] = useState(isOpen)
  const { id, facts, worker, measured, load } = model
  useEffect(() => {
    if (isOpen) setOpen(true)
  }, [isOpen])
  const rows: [string, string | undefined][] = [
    [d.fact.architecture, facts?.architecture],
    [d.fact.parameters, facts && figures.count(facts.parameters)],
    [d.fact.trainedContext, facts && figures.count(facts.context_length)],
    [d.fact.layers, facts && figures.count(facts.layers)],
    [d.fact.vocabulary, facts && figures.count(facts.vocabulary_size)],
    [d.fact.license, facts?.license],
    [d.fact.folder, `local_models/${model.folder}`],
    [d.fact.device, worker && `${worker.device_name} (${worker.device})`],
    [d.fact.gpuLayers, worker && `${worker.gpu_layers} / ${worker.layers}`],
    [d.fact.slots, worker && figures.count(worker.slots)],
    [d.fact.cache, load && d.ofTokens(figures.count(load.kv_used_tokens), figures.count(load.kv_total_tokens))],
    [d.fact.process, worker?.pid === undefined ? undefined : String(worker.pid)],
    [d.fact.loadTime, measured?.load_ms === undefined ? undefined : figures.duration(measured.load_ms)],
    [
      d.fact.promptSpeed,
      measured?.prompt_per_second === undefined ? undefined : d.perSecond(figures.rate(measured.prompt_per_second)),
    ],
    [d.fact.lastUsed, model.last_used_ms === undefined ? undefined : figures.dateTime(model.last_used_ms)],
  ]
  return (
    <details className="model-details" open={open} onToggle={event => setOpen(event.currentTarget.open)}>
      <summary aria-label={d.detailsOf(id)}>{d.details}</summary>
      {open && (
        <>
          <dl className="facts">
            {rows.map(([name, value]) =>
              value === undefined ? undefined : (
                <div key={name}>
                  <dt>{name}</dt>
                  <dd>{value}</dd>
                </div>
              ),
            )}
          </dl>
          <ContextField
            key={model.context_size}
            model={model}
            set={context_size => void acting.change(id, { context_size })}
            label={`${t.context} (${d.tokens})`}
          />
        </>
      )}
    </details>
  )
}

/** The context that this model is loaded with, instead of that of the settings. */
function ContextField(props: { model: ModelStatusOut; label: string; set(contextTokens: number | null): void }) {
  const { model, label, set } = props
  const d = useDashboardText()
  const id = useId()
  const [text, setText] = useState(model.context_size === undefined ? '' : String(model.context_size))
  const most = model.facts?.context_length || undefined
  const value = text.trim() === '' ? null : Number(text)
  const isWrong = value !== null && !(Number.isInteger(value) && value >= 64 && (most === undefined || value <= most))
  return (
    <form
      className="context-form"
      onSubmit={event => {
        event.preventDefault()
        if (!isWrong && value !== (model.context_size ?? null)) set(value)
      }}
    >
      <label htmlFor={id}>{label}</label>
      <input
        id={id}
        inputMode="numeric"
        value={text}
        placeholder={d.bySettings}
        aria-invalid={isWrong}
        aria-describedby={`${id}-hint`}
        onChange={event => setText(event.target.value)}
      />
      <button type="submit" className="secondary" disabled={isWrong || value === (model.context_size ?? null)}>
        {d.set}
      </button>
      <span id={`${id}-hint`} className={isWrong ? 'problem' : 'hint'}>
        {isWrong ? d.contextRange(most) : d.contextHint}
      </span>
    </form>
  )
}
