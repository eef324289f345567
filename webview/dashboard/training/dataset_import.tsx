/** Makes a version of a dataset: from a file, pasted text, paths inside home, chats or suggestions; looked at first, if wished. */
import { type FormEvent, useState } from 'react'
import type { DatasetCheck, DatasetOut } from '../../../server/wire/dataset.ts'
import type { FindingId } from '../../../server/wire/quality.ts'
import { chatModels } from '../../hub_state.ts'
import { useStore } from '../../store.ts'
import { sizeText } from '../../texts.ts'
import { DatasetReport, Problems } from './dataset_report.tsx'
import type { Parts } from './parts.ts'
import { Choice, Done, Failure, Field, Head, Switch, TextInput, useAction } from './widgets.tsx'
import { useWords } from './words.ts'

const SOURCES = ['upload', 'text', 'paths', 'git', 'conversations', 'collected'] as const
type Source = (typeof SOURCES)[number]

/** What is changed by a filter unless it is switched; `perplexity` only reports. */
const FILTERS: [id: FindingId, on: boolean][] = [
  ['empty', true],
  ['no_answer', true],
  ['contamination', true],
  ['replacement_characters', true],
  ['duplicate_exact', true],
  ['duplicate_near', true],
  ['repetition', true],
  ['secret', true],
  ['payment', true],
  ['email', true],
  ['phone', true],
  ['mojibake', true],
  ['control_characters', true],
  ['not_nfc', true],
  ['mojibake_uncertain', false],
  ['role_order', false],
  ['truncated', false],
  ['too_long', false],
  ['too_short', false],
]
const DEFAULT_SHARES = { train: '90', validation: '5', test: '5' }

export function DatasetImport(props: Parts & { into: string | undefined; close(): void; done(name: string): void }) {
  const { bridge, hub, training, into, close, done } = props
  const w = useWords()
  const models = useStore(hub, state => state.models)
  const [source, setSource] = useState<Source>('upload')
  const [name, setName] = useState(into ?? '')
  const [text, setText] = useState('')
  const [paths, setPaths] = useState('')
  const [file, setFile] = useState<File>()
  const [uploaded, setUploaded] = useState<{ file: File; id: string }>()
  const [append, setAppend] = useState(into !== undefined)
  const [strict, setStrict] = useState(false)
  const [model, setModel] = useState('')
  const [shares, setShares] = useState<{ train: string; validation: string; test: string }>()
  const [filters, setFilters] = useState<{ [id: string]: boolean }>({})
  const [checked, setChecked] = useState<DatasetCheck>()
  const [doing, setDoing] = useState('')
  const action = useAction()

  async function body(signal: AbortSignal): Promise<{ [key: string]: unknown }> {
    const common = { ...(model !== '' && { model }), ...(Object.keys(filters).length > 0 && { filters }) }
    const lines = paths
      .split('\n')
      .map(line => line.trim())
      .filter(line => line !== '')
    const missing = new Error(w.nothingChosen)
    switch (source) {
      case 'upload': {
        if (file === undefined) throw missing
        const most = bridge.maxUploadBytes
        if (most !== undefined && file.size > most) throw new Error(w.fileTooLarge(sizeText(most, w.locale)))
        if (uploaded?.file === file) return { ...common, file: uploaded.id }
        setDoing(w.uploading)
        const { id } = await bridge.upload(file, signal)
        setUploaded({ file, id })
        return { ...common, file: id }
      }
      case 'text':
        if (text.trim() === '') throw missing
        return { ...common, text }
      case 'paths':
      case 'git':
        if (lines.length === 0) throw missing
        return { ...common, [source]: lines }
      case 'conversations':
      case 'collected':
        return { ...common, [source]: true }
    }
  }

  const check = () =>
    action.run(async signal => {
      setChecked(undefined)
      const asked = await body(signal)
      setDoing(w.importing)
      setChecked(await bridge.request<DatasetCheck>('POST', '/v1/training/datasets/check', asked, { signal }))
    })

  const submit = (event: FormEvent) => {
    event.preventDefault()
    void action.run(async signal => {
      const parts = shares && sharesOf(shares)
      if (shares !== undefined && parts === undefined) throw new Error(w.sharesWrong)
      const asked = {
        ...(await body(signal)),
        name: name.trim(),
        append,
        ...(strict && { on_problem: 'refuse' }),
        ...(parts !== undefined && { shares: parts }),
      }
      setDoing(w.importing)
      const made = await bridge.request<DatasetOut>('POST', '/v1/training/datasets/import', asked, { signal })
      await training.read('datasets')
      done(made.name)
    })
  }

  return (
    <>
      <Head title={into === undefined ? w.importTitle : `${w.importInto}: ${into}`} back={close} />
      <p className="hint">{w.importWhat}</p>
      <form className="form" onSubmit={submit}>
        <TextInput label={w.importName} hint={w.importNameHint} value={name} required set={setName} />
        <Choice
          label={w.source}
          hint={w.sourceHints[source]}
          value={source}
          options={SOURCES.map(each => [each, w.sources[each]] as const)}
          set={value => {
            setSource(SOURCES.find(each => each === value) ?? 'upload')
            setChecked(undefined)
          }}
        />
        {source === 'upload' && (
          <Field label={w.file}>
            {id => (
              <input
                id={id}
                type="file"
                onChange={event => {
                  const chosen = event.target.files?.[0]
                  setFile(chosen)
                  if (chosen !== undefined && name === '') setName(nameFor(chosen.name))
                }}
              />
            )}
          </Field>
        )}
        {source === 'text' && (
          <Field label={w.text}>
            {id => (
              <textarea
                id={id}
                rows={10}
                className="mono"
                spellCheck={false}
                value={text}
                onChange={event => setText(event.target.value)}
              />
            )}
          </Field>
        )}
        {(source === 'paths' || source === 'git') && (
          <Field label={w.paths}>
            {id => (
              <textarea
                id={id}
                rows={3}
                className="mono"
                spellCheck={false}
                placeholder="training_data/"
                value={paths}
                onChange={event => setPaths(event.target.value)}
              />
            )}
          </Field>
        )}
        <Switch label={w.append} hint={w.appendHint} value={append} set={setAppend} />
        <details className="more">
          <summary>{w.moreOptions}</summary>
          <Choice
            label={w.countWith}
            value={model}
            options={[
              ['', w.countWithNone],
              ...chatModels(models)
                .filter(({ parent }) => parent === undefined)
                .map(({ id }) => [id, id] as const),
            ]}
            set={setModel}
          />
          <Switch label={w.strict} value={strict} set={setStrict} />
          <fieldset>
            <legend>{w.shares}</legend>
            <div className="numbers three">
              {(['train', 'validation', 'test'] as const).map(part => (
                <TextInput
                  key={part}
                  label={w.parts[part]}
                  type="number"
                  min={0}
                  max={100}
                  step="any"
                  placeholder={DEFAULT_SHARES[part]}
                  value={shares?.[part] ?? ''}
                  set={value => setShares({ ...(shares ?? DEFAULT_SHARES), [part]: value })}
                />
              ))}
            </div>
            <p className="hint">{w.sharesHint}</p>
          </fieldset>
          <fieldset>
            <legend>{w.filters}</legend>
            <p className="hint">{w.filtersHint}</p>
            <div className="checks">
              {FILTERS.map(([id, on]) => (
                <label key={id}>
                  <input
                    type="checkbox"
                    checked={filters[id] ?? on}
                    onChange={event => setFilters({ ...filters, [id]: event.target.checked })}
                  />
                  {w.findings[id]}
                </label>
              ))}
            </div>
          </fieldset>
        </details>
        <div className="actions-row">
          <button type="submit" disabled={action.busy}>
            {w.doImport}
          </button>
          <button type="button" className="secondary" disabled={action.busy} onClick={() => void check()}>
            {w.check}
          </button>
          {action.busy ? (
            <>
              <span role="status" className="hint">
                {doing || w.working}
              </span>
              <button type="button" className="secondary" onClick={action.stop}>
                {w.cancel}
              </button>
            </>
          ) : (
            <span className="hint">{w.checkHint}</span>
          )}
        </div>
        <Failure text={action.failure} />
      </form>
      <Done text={checked === undefined ? undefined : w.checked} />
      {checked !== undefined && (
        <>
          <Problems problems={checked.problems} />
          <DatasetReport report={checked.report} />
        </>
      )}
    </>
  )
}

/** Shares that add up to 1; undefined when they do not. */
function sharesOf(given: { [part: string]: string }): { [part: string]: number } | undefined {
  const parts = Object.entries(given).map(([part, text]) => [part, Number(text) / 100] as const)
  const sum = parts.reduce((all, [, share]) => all + share, 0)
  if (parts.some(([, share]) => !(share >= 0)) || Math.abs(sum - 1) > 1e-6) return undefined
  return Object.fromEntries(parts)
}

/** A name that the hub takes, out of the name of a file. */
export function nameFor(file: string): string {
  return file
    .replace(/\.[^.]*$/, '')
    .normalize('NFD')
    .replace(/\p{M}/gu, '')
    .replace(/đ/g, 'd')
    .replace(/Đ/g, 'D')
    .replace(/[^A-Za-z0-9._-]+/g, '-')
    .replace(/^[^A-Za-z0-9]+|[.-]+$/g, '')
    .slice(0, 64)
}
