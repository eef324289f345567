/** Begins an evaluation: what is judged, against what, on which dataset. */
import { type FormEvent, useEffect, useState } from 'react'
import type { EvaluationOut } from '../../../server/wire/evaluation.ts'
import { chatModels } from '../../hub_state.ts'
import { useStore } from '../../store.ts'
import { count } from './figures.ts'
import type { Parts } from './parts.ts'
import { Choice, Empty, Failure, Head, Switch, TextInput, useAction } from './widgets.tsx'
import { useWords } from './words.ts'

const PARTS = ['test', 'validation', 'train'] as const

export function NewEvaluation(props: Parts & { candidate: string; close(): void }) {
  const { bridge, hub, training, go, close } = props
  const w = useWords()
  const datasets = useStore(training.store, state => state.datasets)
  const adapters = useStore(training.store, state => state.adapters)
  const models = chatModels(useStore(hub, state => state.models))
  const [candidate, setCandidate] = useState(props.candidate)
  const [base, setBase] = useState('')
  const [dataset, setDataset] = useState('')
  const [part, setPart] = useState<(typeof PARTS)[number]>('test')
  const [most, setMost] = useState('')
  const [answers, setAnswers] = useState(true)
  const [regression, setRegression] = useState(true)
  const [runCode, setRunCode] = useState(false)
  const action = useAction()
  useEffect(() => {
    void training.read('datasets')
  }, [training])

  const judged =
    models.find(({ id }) => id === candidate) ?? models.find(({ parent }) => parent !== undefined) ?? models[0]
  const against = models.find(({ id }) => id === base) ?? models.find(({ id }) => id === judged?.parent) ?? models[0]
  // What the adapter was trained on has a test part that it has not seen.
  const learned = adapters?.find(({ id }) => id === judged?.id)?.card.dataset?.name
  const chosen = datasets?.find(({ name }) => name === (dataset || learned)) ?? datasets?.[0]

  if (datasets !== undefined && chosen === undefined) {
    return (
      <>
        <Head title={w.newEvaluation} back={close} />
        <Empty title={w.needsDataset} hint={w.datasetsNoneHint}>
          <button type="button" onClick={() => go('datasets', '.import')}>
            {w.importData}
          </button>
        </Empty>
      </>
    )
  }
  if (chosen === undefined || judged === undefined || against === undefined) return <p className="hint">{w.loading}</p>

  const start = (event: FormEvent) => {
    event.preventDefault()
    void action.run(async () => {
      const made = await bridge.request<EvaluationOut>('POST', '/v1/training/evaluations', {
        base: against.id,
        candidate: judged.id,
        dataset: chosen.name,
        part,
        ...(most !== '' && { max_samples: Number(most) }),
        answers,
        regression,
        run_code: runCode,
      })
      training.addEvaluation(made)
      go('adapters', `.evaluation/${made.id}`)
    })
  }
  const options = models.map(({ id }) => [id, id] as const)
  return (
    <>
      <Head title={w.newEvaluation} back={close} />
      <p className="hint">{w.evaluationsNoneHint}</p>
      <form className="form" onSubmit={start}>
        <Choice label={w.candidate} hint={w.candidateHint} value={judged.id} options={options} set={setCandidate} />
        <Choice label={w.compareWith} value={against.id} options={options} set={setBase} />
        <Choice
          label={w.dataset}
          value={chosen.name}
          options={(datasets ?? []).map(({ name }) => [name, name] as const)}
          set={setDataset}
        />
        <Choice
          label={w.part}
          value={part}
          options={PARTS.map(
            each => [each, `${w.parts[each]} (${count(chosen.counts[each], w.locale)}), ${w.partsLong[each]}`] as const,
          )}
          set={value => setPart(PARTS.find(each => each === value) ?? 'test')}
        />
        <TextInput
          label={w.maxSamples}
          type="number"
          min={1}
          max={20_000}
          placeholder="500"
          value={most}
          set={setMost}
        />
        <Switch label={w.withAnswers} value={answers} set={setAnswers} />
        <Switch label={w.withRegression} value={regression} set={setRegression} />
        <Switch label={w.withCode} hint={w.withCodeHint} value={runCode} set={setRunCode} />
        <div className="actions-row">
          <button type="submit" disabled={action.busy}>
            {w.startEvaluation}
          </button>
        </div>
        <Failure text={action.failure} />
      </form>
    </>
  )
}
