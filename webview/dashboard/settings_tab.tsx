/** The hub's settings: what holds, where it comes from, when a change counts, and a field to change it. */
import { useEffect, useId, useState } from 'react'
import type { SettingsAnswer } from '../../server/wire/settings.ts'
import { toHubFailure } from '../failure.ts'
import { useStore } from '../store.ts'
import { useText } from '../texts.ts'
import { Card } from './card.tsx'
import type { Parts } from './parts.ts'
import { Problems } from './problems_panel.tsx'
import { FIELDS, type Field, fromFieldText, GROUPS, type SettingName, toFieldText } from './setting_fields.ts'
import { useDashboardText } from './texts.ts'

export function SettingsTab(props: Parts) {
  const { bridge, known } = props
  const d = useDashboardText()
  const settings = useStore(known.store, state => state.settings)
  // Another page or program may have changed them.
  useEffect(() => void known.read(), [known])
  if (settings === undefined) return <p className="hint waiting">{d.reading}</p>

  async function change(name: SettingName, value: unknown): Promise<string | undefined> {
    try {
      known.setSettings(await bridge.request<SettingsAnswer>('PATCH', '/v1/settings', { [name]: value }))
      return undefined
    } catch (thrown) {
      return toHubFailure(thrown).message
    }
  }

  return (
    <>
      <Problems {...props} kinds={['restart']} />
      <p className="hint intro">{d.settingsIntro}</p>
      {Object.entries(GROUPS).map(([group, names]) => (
        <Card key={group} title={d.settingGroups[group as keyof typeof GROUPS]} className="settings">
          {names.map(name => (
            <Setting key={name} name={name} answer={settings} change={value => change(name, value)} />
          ))}
        </Card>
      ))}
    </>
  )
}

function Setting(props: {
  name: SettingName
  answer: SettingsAnswer
  change(value: unknown): Promise<string | undefined>
}) {
  const { name, answer, change } = props
  const d = useDashboardText()
  const id = useId()
  const [problem, setProblem] = useState<string>()
  const [saved, setSaved] = useState(false)
  const field = FIELDS[name]
  const value = answer.settings[name]
  const source = answer.from[name] ?? 'default'
  const applies = answer.applies[name] ?? 'now'
  const isOverridden = answer.overridden.includes(name)
  const { label, hint } = d.settings[name]

  async function commit(next: unknown): Promise<void> {
    setSaved(false)
    const reason = await change(next)
    setProblem(reason)
    setSaved(reason === undefined)
  }

  return (
    <div className="setting">
      <div className="setting-about">
        <label htmlFor={id}>{label}</label> <code>{name}</code>
        <p className="hint setting-hint" id={`${id}-hint`}>
          {hint}
        </p>
      </div>
      <div className="setting-value">
        <div className="setting-control">
          {applies === 'start_only' ? (
            <output id={id} className="mono fixed">
              {toFieldText(field, value) || '–'}
            </output>
          ) : (
            <Control
              id={id}
              field={field}
              value={value}
              isWrong={problem !== undefined}
              describedBy={`${id}-hint ${id}-said`}
              commit={next => void commit(next)}
            />
          )}
          {(source === 'stored' || isOverridden) && (
            <button type="button" className="link" aria-label={d.resetSetting(label)} onClick={() => void commit(null)}>
              {d.reset}
            </button>
          )}
        </div>
        <div className="hint">
          {d.sources[source]} · {d.applies[applies]}
          {saved && (
            <span className="saved" role="status">
              {' '}
              · {d.saved}
            </span>
          )}
        </div>
        <div id={`${id}-said`} role="alert">
          {problem !== undefined && <span className="problem">{problem}</span>}
          {problem === undefined && isOverridden && <span className="hint">{d.overridden}</span>}
        </div>
      </div>
    </div>
  )
}

function Control(props: {
  id: string
  field: Field
  value: unknown
  isWrong: boolean
  describedBy: string
  commit(value: unknown): void
}) {
  const { id, field, value, isWrong, describedBy, commit } = props
  const t = useText()
  const given = toFieldText(field, value)
  const [text, setText] = useState(given)
  useEffect(() => setText(given), [given])
  const about = { id, 'aria-invalid': isWrong, 'aria-describedby': describedBy }
  const done = (): void => {
    if (text !== given || isWrong) commit(fromFieldText(field, text))
  }
  if (field.kind === 'choice') {
    return (
      <select {...about} value={given} onChange={event => commit(event.target.value)}>
        {field.options.map(option => (
          <option key={option}>{option}</option>
        ))}
      </select>
    )
  }
  if (field.kind === 'switch') {
    return (
      <input
        {...about}
        type="checkbox"
        role="switch"
        aria-checked={value === true}
        checked={value === true}
        onChange={event => commit(event.target.checked)}
      />
    )
  }
  if (field.kind === 'list') {
    return (
      <textarea
        {...about}
        className="mono"
        rows={Math.max(2, text.split('\n').length)}
        spellCheck={false}
        value={text}
        onChange={event => setText(event.target.value)}
        onBlur={done}
      />
    )
  }
  return (
    <>
      <input
        {...about}
        className="mono"
        inputMode={field.kind === 'number' ? 'decimal' : 'text'}
        value={text}
        onChange={event => setText(event.target.value)}
        onBlur={done}
        onKeyDown={event => {
          if (event.key === 'Enter') done()
          if (event.key === 'Escape') {
            setText(given)
            event.stopPropagation()
          }
        }}
      />
      {text !== given && (
        <button type="button" className="secondary" onMouseDown={event => event.preventDefault()} onClick={done}>
          {t.save}
        </button>
      )}
    </>
  )
}
