/** A new run: what is trained on what, with which hyperparameters; then its plan, and the yes that starts it. */
import { type FormEvent, useEffect, useState } from 'react'
import type { TrainingDryRun, TrainingJobOut } from '../../../server/wire/training.ts'
import { chatModels } from '../../hub_state.ts'
import { useStore } from '../../store.ts'
import { Hyper, type HyperTexts, toConfig } from './hyper.tsx'
import type { Parts } from './parts.ts'
import { PlanView } from './plan_view.tsx'
import { Choice, Empty, Failure, Head, Switch, TextInput, useAction } from './widgets.tsx'
import { useWords } from './words.ts'

const LONG = ['truncate', 'split', 'drop'] as const

export function NewRun(props: Parts & { dataset: string; close(): void }) {
  const { bridge, hub, training, go, close } = props
  const w = useWords()
  const datasets = useStore(training.store, state => state.datasets)
  const adapters = useStore(training.store, state => state.adapters)
  const known = useStore(hub, state => state.known)
  const bases = chatModels(useStore(hub, state => state.models)).filter(({ parent }) => parent === undefined)
  const [dataset, setDataset] = useState(props.dataset)
  const [model, setModel] = useState('')
  const [name, setName] = useState('')
  const [method, setMethod] = useState<'supervised' | 'dpo'>()
  const [texts, setTexts] = useState<HyperTexts>({})
  const [tooLong, setTooLong] = useState<(typeof LONG)[number]>('truncate')
  const [continueFrom, setContinueFrom] = useState('')
  const [replay, setReplay] = useState('')
  const [replace, setReplace] = useState(false)
  const [evaluate, setEvaluate] = useState(true)
  const [search, setSearch] = useState(false)
  const [priority, setPriority] = useState('')
  const [plan, setPlan] = useState<TrainingDryRun>()
  const action = useAction()

  useEffect(() => {
    void training.read('datasets')
    void training.read('adapters')
  }, [training])

  const chosenDataset = datasets?.find(each => each.name === dataset) ?? datasets?.[0]
  // The best base is the one that a person would take: no toy, if there is another.
  const chosenModel = bases.find(({ id }) => id === model) ?? bases.find(({ toy }) => toy !== true) ?? bases[0]
  const prefers = chosenDataset !== undefined && Object.keys(chosenDataset.kinds).includes('preference')
  const chosenMethod = method ?? (prefers ? 'dpo' : 'supervised')
  const mine = adapters?.filter(({ base }) => base === chosenModel?.id) ?? []

  if (datasets !== undefined && chosenDataset === undefined) {
    return (
      <>
        <Head title={w.newRun} back={close} />
        <Empty title={w.needsDataset} hint={w.datasetsNoneHint}>
          <button type="button" onClick={() => go('datasets', '.import')}>
            {w.importData}
          </button>
        </Empty>
      </>
    )
  }
  if (known && chosenModel === undefined) {
    return (
      <>
        <Head title={w.newRun} back={close} />
        <Empty title={w.needsModel} hint={w.baseHint}>
          <button type="button" onClick={() => go('models')}>
            {w.chooseModel}
          </button>
        </Empty>
      </>
    )
  }
  if (chosenDataset === undefined || chosenModel === undefined) return <p className="hint">{w.loading}</p>

  const body = (): { [key: string]: unknown } => ({
    model_name: chosenModel.id,
    dataset: `${chosenDataset.name}:${chosenDataset.version}`,
    ...(name.trim() !== '' && { name: name.trim() }),
    method: chosenMethod,
    config: toConfig(texts),
    too_long: tooLong,
    ...(continueFrom !== '' && { continue_from: continueFrom }),
    ...(continueFrom !== '' && replay !== '' && { replay: Number(replay) / 100 }),
    ...(replace && { replace }),
    ...(evaluate && chosenDataset.counts.test > 0 && { evaluate }),
    ...(priority !== '' && { priority: Number(priority) }),
  })

  const makePlan = (event: FormEvent) => {
    event.preventDefault()
    void action.run(async signal => {
      setPlan(
        await bridge.request<TrainingDryRun>('POST', '/v1/training/start', { ...body(), dry_run: true }, { signal }),
      )
    })
  }
  const start = () =>
    action.run(async () => {
      const path = search ? '/v1/training/search' : '/v1/training/start'
      // A name that was made up for the plan is the one that was agreed to.
      const job = await bridge.request<TrainingJobOut>('POST', path, { ...body(), name: plan?.name })
      training.add(job)
      go('training', job.id)
    })

  if (plan !== undefined) {
    return (
      <>
        <Head title={`${w.plan}: ${plan.model}:${plan.name}`} back={() => setPlan(undefined)} />
        <p>{w.planIntro}</p>
        <PlanView
          plan={plan.plan}
          stats={plan.stats}
          samples={plan.samples}
          notes={plan.notes}
          chosen={Object.keys(toConfig(texts))}
        />
        {search && <p>{w.planSearch}</p>}
        <p>{w.planMeans}</p>
        <p>{w.planAfter(`${plan.model}:${plan.name}`)}</p>
        <div className="actions-row">
          <button type="button" disabled={action.busy} onClick={() => void start()}>
            {w.startRun}
          </button>
          <button type="button" className="secondary" onClick={() => setPlan(undefined)}>
            {w.change}
          </button>
        </div>
        <Failure text={action.failure} />
      </>
    )
  }

  return (
    <>
      <Head title={w.newRun} back={close} />
      <p className="hint">{w.runsNoneHint}</p>
      <form className="form" onSubmit={makePlan}>
        <Choice
          label={w.dataset}
          value={chosenDataset.name}
          options={(datasets ?? []).map(each => [each.name, `${each.name} · ${w.samples(String(each.counts.train))}`])}
          set={setDataset}
        />
        <Choice
          label={w.base}
          hint={w.baseHint}
          value={chosenModel.id}
          options={bases.map(({ id: base }) => [base, base] as const)}
          set={setModel}
        />
        <TextInput
          label={w.adapterName}
          hint={name.trim() === '' ? w.adapterNameless : w.adapterNameHint(`${chosenModel.id}:${name.trim()}`)}
          value={name}
          placeholder={w.automatic}
          set={setName}
        />
        {mine.some(each => each.name === name.trim()) && (
          <Switch label={w.replace} hint={w.replaceHint} value={replace} set={setReplace} />
        )}
        {chosenDataset.counts.test > 0 && (
          <Switch label={w.evaluateAfter} hint={w.evaluateAfterHint} value={evaluate} set={setEvaluate} />
        )}
        <fieldset>
          <legend>{w.hyper}</legend>
          <p className="hint">{w.hyperHint}</p>
          <Hyper texts={texts} set={setTexts} method={chosenMethod} />
        </fieldset>
        <Switch label={w.search} hint={w.searchHint} value={search} set={setSearch} />
        <details className="more">
          <summary>{w.moreOptions}</summary>
          <Choice
            label={w.method}
            value={chosenMethod}
            options={[
              ['supervised', w.methods.supervised],
              ['dpo', w.methods.dpo],
            ]}
            set={value => setMethod(value === 'dpo' ? 'dpo' : 'supervised')}
          />
          <Choice
            label={w.tooLong}
            value={tooLong}
            options={LONG.map(each => [each, w.tooLongs[each]] as const)}
            set={value => setTooLong(LONG.find(each => each === value) ?? 'truncate')}
          />
          <Choice
            label={w.continueFrom}
            value={continueFrom}
            options={[['', w.continueFresh], ...mine.map(each => [each.name, each.id] as const)]}
            set={setContinueFrom}
          />
          {continueFrom !== '' && (
            <TextInput label={`${w.replay}, %`} type="number" min={0} max={100} value={replay} set={setReplay} />
          )}
          <TextInput
            label={w.priority}
            hint={w.priorityHint}
            type="number"
            min={-100}
            max={100}
            placeholder="0"
            value={priority}
            set={setPriority}
          />
        </details>
        <div className="actions-row">
          <button type="submit" disabled={action.busy}>
            {w.makePlan}
          </button>
          {action.busy && (
            <>
              <span role="status" className="hint">
                {w.planning}
              </span>
              <button type="button" className="secondary" onClick={action.stop}>
                {w.cancel}
              </button>
            </>
          )}
        </div>
        <Failure text={action.failure} />
      </form>
    </>
  )
}
