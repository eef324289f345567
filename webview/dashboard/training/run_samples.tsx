/** What base and adapter answer to held-out questions: at a checkpoint when it is asked, at every one, or at the end. */
import { useCallback, useEffect, useRef, useState } from 'react'
import type { TrainingJobOut, TrainingSamples } from '../../../server/wire/training.ts'
import { useStore } from '../../store.ts'
import { count } from './figures.ts'
import type { Parts } from './parts.ts'
import { Failure, Switch, useAction } from './widgets.tsx'
import { useWords } from './words.ts'

/** Checkpoints whose answers stay on the page. */
const KEPT = 20

export function RunSamples({ bridge, hub, job }: Parts & { job: TrainingJobOut }) {
  const w = useWords()
  const { run, ...action } = useAction()
  const [shown, setShown] = useState<TrainingSamples[]>([])
  const [isAuto, setIsAuto] = useState(false)
  const isLoaded = useStore(hub, state => state.models.find(({ id }) => id === job.model)?.state === 'ready')
  const asked = useRef<number | null>(undefined)
  const { id, status, checkpoint_step: checkpoint } = job
  const step = status === 'succeeded' ? null : checkpoint
  const canAsk = step !== undefined && (step === null ? job.result_model !== null : step > 0)

  const ask = useCallback(
    (load: boolean) =>
      run(async signal => {
        const path = `/v1/training/status/${encodeURIComponent(id)}/samples${load ? '?load=true' : ''}`
        const got = await bridge.request<TrainingSamples>('GET', path, undefined, { signal })
        setShown(before => [got, ...before.filter(other => other.step !== got.step)].slice(0, KEPT))
      }),
    [run, bridge, id],
  )
  // Only what is loaded is asked by itself: loading the base could take the memory of the run.
  useEffect(() => {
    if (!isAuto || !canAsk || !isLoaded || asked.current === step) return
    asked.current = step
    void ask(false)
  }, [isAuto, canAsk, isLoaded, step, ask])

  return (
    <section>
      <h3>{w.samplesLive}</h3>
      <p className="hint">{w.samplesLiveHint}</p>
      {canAsk ? (
        <div className="actions-row">
          <button type="button" className="secondary" disabled={action.busy} onClick={() => void ask(true)}>
            {action.busy ? w.samplesAsking : w.samplesNow}
          </button>
          {!isLoaded && <span className="hint">{w.samplesLoads}</span>}
        </div>
      ) : (
        <p className="hint">{w.samplesNotYet}</p>
      )}
      {status !== 'succeeded' && <Switch label={w.samplesAuto} value={isAuto} set={setIsAuto} />}
      <Failure text={action.failure} />
      <div role="status" className="hidden">
        {shown[0] !== undefined && at(shown[0].step, w)}
      </div>
      {shown.map((samples, index) => (
        <details key={String(samples.step)} className="more" open={index === 0}>
          <summary>{at(samples.step, w)}</summary>
          {samples.samples.map(({ question, expected, base, adapter }, place) => (
            // biome-ignore lint/suspicious/noArrayIndexKey: a question is known by its place only
            <div key={place} className="answers">
              <Answer name={w.samplesQuestion} text={question} />
              <Answer name={w.samplesExpected} text={expected} />
              <Answer name={w.samplesBase} text={base} />
              <Answer name={w.samplesAdapter} text={adapter} />
            </div>
          ))}
        </details>
      ))}
    </section>
  )
}

const at = (step: number | null, w: ReturnType<typeof useWords>): string =>
  step === null ? w.samplesAtEnd : w.samplesAt(count(step, w.locale))

function Answer({ name, text }: { name: string; text: string }) {
  const w = useWords()
  return (
    <div className="piece">
      <span className="piece-name">{name}</span>
      <pre className="excerpt">{text.trim() === '' ? w.samplesEmpty : text}</pre>
    </div>
  )
}
