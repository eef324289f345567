/** One adapter: what it is, its settings, its versions, and what can be made of it. */
import { type FormEvent, useState } from 'react'
import type { AdapterConverted, AdapterOut, AdapterProgress, MergeType } from '../../../server/wire/adapter.ts'
import { PageLink } from '../../page_link.tsx'
import { useStore } from '../../store.ts'
import { sizeText, useText } from '../../texts.ts'
import { count, figure, moment } from './figures.ts'
import { compareRoute, type Parts } from './parts.ts'
import { badgeOf, verdictOf } from './verdict.ts'
import { Choice, Confirm, Done, Facts, Failure, Head, Switch, TextInput, useAction } from './widgets.tsx'
import { useWords } from './words.ts'

const MERGE_TYPES: MergeType[] = ['same', 'F32', 'F16', 'BF16', 'Q8_0', 'Q6_K', 'Q5_K_M', 'Q4_K_M', 'Q4_0']

const pathOf = (id: string): string => `/v1/training/adapters/${id.split('/').map(encodeURIComponent).join('/')}`

export function AdapterView(props: Parts & { id: string }) {
  const { bridge, training, id, go } = props
  const w = useWords()
  const adapters = useStore(training.store, state => state.adapters)
  const adapter = adapters?.find(each => each.id === id)
  const action = useAction()
  const [said, setSaid] = useState<string>()

  if (adapter === undefined) {
    return adapters === undefined ? (
      <p className="hint">{w.loading}</p>
    ) : (
      <Head title={w.lostAdapter(id)} back={() => go('adapters')} />
    )
  }
  const { card, facts, base, versions } = adapter
  const verdict = verdictOf(adapter)
  const act = (what: () => Promise<void>) =>
    void action.run(async () => {
      setSaid(undefined)
      await what()
      await training.read('adapters')
    })

  return (
    <>
      <Head title={id} back={() => go('adapters')}>
        <div className="actions-row">
          <PageLink bridge={bridge} to="chat" route={`model=${encodeURIComponent(id)}`}>
            {w.useIt}
          </PageLink>
          <PageLink bridge={bridge} to="chat" route={compareRoute(base, id)}>
            {w.compareIt}
          </PageLink>
          <button type="button" className="link" onClick={() => go('adapters', `.evaluate/${id}`)}>
            {w.evaluateIt}
          </button>
          <CopyName bridge={bridge} id={id} />
        </div>
      </Head>
      {adapter.reason !== undefined && (
        <p className={adapter.status === 'broken' ? 'problem' : 'warning-box'} lang="en">
          {adapter.reason}
        </p>
      )}
      {card.description !== undefined && <p>{card.description}</p>}
      <Failure text={action.failure} />
      <Done text={said} />
      <Facts
        facts={[
          [w.base, base],
          card.scale !== undefined && [w.scale, figure(card.scale, w.locale)],
          card.pin === true && [w.pin, w.yes],
          [
            w.verdictOf,
            verdict === undefined ? (
              w.notEvaluated
            ) : (
              <span key="verdict" className={`badge ${badgeOf(verdict)}`}>
                {w.verdicts[verdict]}
              </span>
            ),
          ],
          card.dataset !== undefined && [
            w.trainedOn,
            <button key="dataset" type="button" className="link" onClick={() => go('datasets', card.dataset!.name)}>
              {card.dataset.name}
              {card.dataset.version !== undefined && `, ${w.version(card.dataset.version)}`}
            </button>,
          ],
          card.job !== undefined && [
            w.trainedBy,
            <button key="job" type="button" className="link" onClick={() => go('training', card.job!)}>
              {card.job}
            </button>,
          ],
          facts !== undefined && [w.rank, `${facts.rank} (alpha ${facts.alpha})`],
          facts !== undefined && [w.layers, `${facts.layers}: ${facts.targets.join(', ')}`],
          [
            w.size,
            `${sizeText(adapter.bytes, w.locale)}${facts === undefined ? '' : ` · ${w.parametersOf(count(facts.parameters, w.locale))} · ${facts.type}`}`,
          ],
          [w.created, moment(card.created ?? adapter.modified_ms, w.locale)],
          [w.stateOf, adapter.state === 'ready' ? w.loaded : w.notLoaded],
        ]}
      />
      <Settings
        key={`${id}-${adapter.modified_ms}-${JSON.stringify([card.description, card.scale, card.pin])}`}
        {...props}
        adapter={adapter}
      />
      <section>
        <h3>{w.adapterVersions}</h3>
        {versions.length === 0 ? (
          <p className="hint">{w.onlyVersion}</p>
        ) : (
          <ul className="rows">
            <li>
              <span>
                {w.version(adapter.version)} <span className="badge succeeded">{w.currentVersion}</span>
              </span>
              <span className="hint">{moment(adapter.modified_ms, w.locale)}</span>
            </li>
            {versions.toReversed().map(({ id: older, version, bytes, modified_ms }) => (
              <li key={older}>
                <span>
                  {w.version(version)}{' '}
                  <span className="hint">{`${sizeText(bytes, w.locale)} · ${moment(modified_ms, w.locale)}`}</span>
                </span>
                <span className="row">
                  <Confirm
                    label={version < adapter.version ? w.rollBack : w.useVersion}
                    name={`${version < adapter.version ? w.rollBack : w.useVersion}: ${w.version(version)}`}
                    question={w.rollBackSure(version)}
                    danger={false}
                    disabled={action.busy}
                    act={() =>
                      act(async () => {
                        await bridge.request('POST', '/v1/training/adapters/rollback', { id, version })
                        setSaid(w.rolledBack(version))
                      })
                    }
                  />
                  <Confirm
                    label={w.deleteVersion}
                    name={`${w.deleteVersion}: ${w.version(version)}`}
                    question={w.deleteVersionSure(older)}
                    disabled={action.busy}
                    act={() => act(() => bridge.request('DELETE', pathOf(older)))}
                  />
                </span>
              </li>
            ))}
          </ul>
        )}
      </section>
      <section>
        <h3>{w.making}</h3>
        <Merge {...props} adapter={adapter} />
        <Export {...props} adapter={adapter} />
      </section>
      <Confirm
        label={w.deleteAdapter}
        question={w.deleteAdapterSure(id)}
        disabled={action.busy}
        act={() =>
          act(async () => {
            await bridge.request('DELETE', pathOf(id))
            go('adapters')
          })
        }
      />
    </>
  )
}

function CopyName({ bridge, id }: Pick<Parts, 'bridge'> & { id: string }) {
  const w = useWords()
  const [isCopied, setIsCopied] = useState(false)
  return (
    <>
      <button
        type="button"
        className="link"
        onClick={() =>
          void bridge.copy(id).then(
            () => setIsCopied(true),
            () => setIsCopied(false),
          )
        }
      >
        {w.copyName}
      </button>
      <span role="status" className="hint">
        {isCopied && w.copied}
      </span>
    </>
  )
}

function Settings({ bridge, training, adapter, go }: Parts & { adapter: AdapterOut }) {
  const w = useWords()
  const { id, name, card } = adapter
  const [newName, setNewName] = useState(name)
  const [description, setDescription] = useState(card.description ?? '')
  const [scale, setScale] = useState(card.scale === undefined ? '' : String(card.scale))
  const [pin, setPin] = useState(card.pin === true)
  const action = useAction()
  const save = (event: FormEvent) => {
    event.preventDefault()
    void action.run(async () => {
      const changed = await bridge.request<AdapterOut>('PATCH', pathOf(id), {
        ...(newName.trim() !== name && { name: newName.trim() }),
        description: description.trim() === '' ? null : description.trim(),
        scale: scale === '' ? null : Number(scale),
        pin,
      })
      await training.read('adapters')
      if (changed.id !== id) go('adapters', changed.id)
    })
  }
  return (
    <details className="more">
      <summary>{w.settings}</summary>
      <form className="form" onSubmit={save}>
        <TextInput label={w.rename} value={newName} required set={setNewName} />
        <TextInput label={w.description} value={description} set={setDescription} />
        <TextInput
          label={w.scale}
          hint={w.scaleHint}
          type="number"
          min={-10}
          max={10}
          step="any"
          placeholder="1"
          value={scale}
          set={setScale}
        />
        <Switch label={w.pin} hint={w.pinHint} value={pin} set={setPin} />
        <button type="submit" disabled={action.busy}>
          {w.save}
        </button>
        <Failure text={action.failure} />
      </form>
    </details>
  )
}

/** Asks for a conversion and tells how far it is. @throws HubFailure */
async function convert(
  { bridge }: Pick<Parts, 'bridge'>,
  path: string,
  body: object,
  signal: AbortSignal,
  tell: (fraction: number) => void,
): Promise<AdapterConverted> {
  for await (const data of bridge.stream(path, { ...body, stream: true }, signal)) {
    const event = JSON.parse(data) as AdapterProgress | { error: { message: string } }
    if ('error' in event) throw new Error(event.error.message)
    if (event.type === 'finished') return event.result
    tell(event.fraction)
  }
  throw new Error('The hub gave no result.')
}

function Merge(props: Parts & { adapter: AdapterOut }) {
  const { adapter } = props
  const w = useWords()
  const [name, setName] = useState('')
  const [type, setType] = useState('same')
  const [fraction, setFraction] = useState(0)
  const [said, setSaid] = useState<string>()
  const action = useAction()
  const merge = (event: FormEvent) => {
    event.preventDefault()
    void action.run(async signal => {
      setSaid(undefined)
      setFraction(0)
      const body = { id: adapter.id, type, ...(name.trim() !== '' && { name: name.trim() }) }
      const made = await convert(props, '/v1/training/adapters/merge', body, signal, setFraction)
      setSaid(w.merged(made.id ?? made.output, sizeText(made.bytes, w.locale)))
    })
  }
  return (
    <details className="more">
      <summary>{w.merge}</summary>
      <form className="form" onSubmit={merge}>
        <p className="hint">{w.mergeHint}</p>
        <TextInput
          label={w.mergeName}
          value={name}
          placeholder={`${adapter.base.replace(/.*\//, '')}-${adapter.name}`}
          set={setName}
        />
        <Choice
          label={w.mergeType}
          value={type}
          options={MERGE_TYPES.map(each => [each, each === 'same' ? w.mergeSame : each] as const)}
          set={setType}
        />
        <Running action={action} label={w.merge} fraction={fraction} />
        <Failure text={action.failure} />
        <Done text={said} />
      </form>
    </details>
  )
}

function Export(props: Parts & { adapter: AdapterOut }) {
  const { adapter } = props
  const w = useWords()
  const [folder, setFolder] = useState('')
  const [fraction, setFraction] = useState(0)
  const [said, setSaid] = useState<string>()
  const action = useAction()
  const write = (event: FormEvent) => {
    event.preventDefault()
    void action.run(async signal => {
      setSaid(undefined)
      const body = { id: adapter.id, ...(folder.trim() !== '' && { folder: folder.trim() }) }
      const made = await convert(props, '/v1/training/adapters/export', body, signal, setFraction)
      setSaid(w.exported(made.output))
    })
  }
  return (
    <details className="more">
      <summary>{w.exportPeft}</summary>
      <form className="form" onSubmit={write}>
        <p className="hint">{w.exportHint}</p>
        <TextInput label={w.exportFolder} placeholder={w.exportFolderDefault} value={folder} set={setFolder} />
        <Running action={action} label={w.exportPeft} fraction={fraction} />
        <Failure text={action.failure} />
        <Done text={said} />
      </form>
    </details>
  )
}

function Running(props: { action: ReturnType<typeof useAction>; label: string; fraction: number }) {
  const { action, label, fraction } = props
  const t = useText()
  return (
    <div className="actions-row">
      <button type="submit" disabled={action.busy}>
        {label}
      </button>
      {action.busy && (
        <>
          <progress aria-label={label} {...(fraction > 0 && { value: fraction, max: 1 })} />
          <button type="button" className="secondary" onClick={action.stop}>
            {t.cancel}
          </button>
        </>
      )}
    </div>
  )
}
