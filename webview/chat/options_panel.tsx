/** What every answer of this chat is asked with: system prompt, sampling, schema, tools, and whether it may be learned from. */
import { type ReactNode, useEffect, useId, useState } from 'react'
import type { ConversationOptions } from '../../server/wire/conversations.ts'
import { IconButton } from '../icons.tsx'
import { useStore } from '../store.ts'
import { useText } from '../texts.ts'
import { useOpened } from './opened.ts'
import type { Parts } from './parts.ts'

type NumberName = 'temperature' | 'top_p' | 'top_k' | 'min_p' | 'repeat_penalty' | 'max_tokens' | 'seed'
const NUMBERS: {
  name: NumberName
  label: 'temperature' | 'topP' | 'topK' | 'minP' | 'repeatPenalty' | 'maxTokens' | 'seed'
  min: number
  max?: number
  step: number
}[] = [
  { name: 'temperature', label: 'temperature', min: 0, max: 2, step: 0.1 },
  { name: 'top_p', label: 'topP', min: 0, max: 1, step: 0.05 },
  { name: 'top_k', label: 'topK', min: 0, max: 1_000_000, step: 1 },
  { name: 'min_p', label: 'minP', min: 0, max: 1, step: 0.01 },
  { name: 'repeat_penalty', label: 'repeatPenalty', min: 0.01, max: 10, step: 0.05 },
  { name: 'max_tokens', label: 'maxTokens', min: 1, step: 1 },
  { name: 'seed', label: 'seed', min: -1, step: 1 },
]
const EFFORTS = ['none', 'minimal', 'low', 'medium', 'high', 'xhigh'] as const

export function OptionsPanel({ session, close }: Parts & { close(): void }) {
  const panel = useOpened()
  const t = useText()
  const current = useStore(session.store, state => state.current)
  const fresh = useStore(session.store, state => state.options)
  const freshTraining = useStore(session.store, state => state.training)
  const options = current?.options ?? fresh
  const training = current?.training ?? freshTraining
  const set = (changes: { [name in keyof ConversationOptions]?: ConversationOptions[name] | undefined }): void => {
    const all = Object.entries({ ...options, ...changes }).filter(([, value]) => value !== undefined && value !== '')
    session.setOptions(Object.fromEntries(all) as ConversationOptions)
  }
  const key = current?.id ?? 'new'

  return (
    <aside className="panel" aria-label={t.options} tabIndex={-1} ref={panel}>
      <div className="panel-head">
        <h2>{t.options}</h2>
        <IconButton icon="close" label={t.close} onClick={close} />
      </div>
      <Text
        key={`${key}-system`}
        label={t.system}
        hint={t.systemHint}
        rows={5}
        value={options.system}
        set={system => set({ system })}
      />
      <fieldset>
        <legend>{t.sampling}</legend>
        <div className="numbers">
          {NUMBERS.map(({ name, label, ...limits }) => (
            <NumberField
              key={`${key}-${name}`}
              label={t[label]}
              {...limits}
              value={options[name]}
              set={value => set({ [name]: value })}
            />
          ))}
          <label className="field wide">
            <span>{t.reasoningEffort}</span>
            <select
              value={options.reasoning_effort ?? ''}
              onChange={event => set({ reasoning_effort: EFFORTS.find(effort => effort === event.target.value) })}
            >
              <option value="">{t.byModel}</option>
              {EFFORTS.map(effort => (
                <option key={effort}>{effort}</option>
              ))}
            </select>
          </label>
        </div>
      </fieldset>
      <Text
        key={`${key}-schema`}
        label={t.schema}
        hint={t.schemaHint}
        rows={4}
        code
        check={value => (isJson(value) ? (isObject(JSON.parse(value)) ? undefined : t.notAnObject) : t.notJson)}
        value={options.schema}
        set={schema => set({ schema })}
      />
      <Text
        key={`${key}-tools`}
        label={t.tools}
        hint={t.toolsHint}
        rows={4}
        code
        check={value => (isJson(value) ? (Array.isArray(JSON.parse(value)) ? undefined : t.notAList) : t.notJson)}
        value={options.tools}
        set={tools => set({ tools })}
      />
      <label className="switch">
        <input
          type="checkbox"
          role="switch"
          aria-checked={training}
          checked={training}
          onChange={event => session.setTraining(event.target.checked)}
        />
        <span>
          {t.training}
          <span className="hint">{t.trainingHint}</span>
        </span>
      </label>
    </aside>
  )
}

function Field(props: {
  label: string
  hint?: string | undefined
  problem?: string | undefined
  children(id: string): ReactNode
}) {
  const { label, hint, problem, children } = props
  const id = useId()
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      {children(id)}
      {hint !== undefined && problem === undefined && <span className="hint">{hint}</span>}
      {problem !== undefined && (
        <span className="problem" role="alert">
          {problem}
        </span>
      )}
    </div>
  )
}

/** Taken over when the field is left, if it is right. */
function Text(props: {
  label: string
  hint: string
  rows: number
  code?: boolean
  value: string | undefined
  check?(value: string): string | undefined
  set(value: string | undefined): void
}) {
  const { label, hint, rows, code, value, check, set } = props
  const [text, setText] = useState(value ?? '')
  useEffect(() => setText(value ?? ''), [value])
  const problem = text.trim() === '' ? undefined : check?.(text)
  return (
    <Field label={label} hint={hint} problem={problem}>
      {id => (
        <textarea
          id={id}
          rows={rows}
          className={code ? 'mono' : ''}
          spellCheck={!code}
          value={text}
          aria-invalid={problem !== undefined}
          onChange={event => setText(event.target.value)}
          onBlur={() => {
            if (problem === undefined && text !== (value ?? '')) set(text.trim() === '' ? undefined : text)
          }}
        />
      )}
    </Field>
  )
}

function NumberField(props: {
  label: string
  min: number
  max?: number
  step: number
  value: number | undefined
  set(value: number | undefined): void
}) {
  const t = useText()
  const { label, min, max, step, value, set } = props
  const [text, setText] = useState(value === undefined ? '' : String(value))
  useEffect(() => setText(value === undefined ? '' : String(value)), [value])
  return (
    <Field label={label}>
      {id => (
        <input
          id={id}
          type="number"
          min={min}
          max={max}
          step={step}
          placeholder={t.byModel}
          value={text}
          onChange={event => setText(event.target.value)}
          onBlur={() => {
            const number =
              text === '' ? undefined : Math.min(max ?? Number.MAX_SAFE_INTEGER, Math.max(min, Number(text)))
            const whole = number === undefined || step < 1 ? number : Math.round(number)
            setText(whole === undefined ? '' : String(whole))
            if (whole !== value) set(whole)
          }}
        />
      )}
    </Field>
  )
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

function isObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
