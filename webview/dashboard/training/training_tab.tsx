/** The runs: their list, a new one with its plan, or one as it goes on. */
import { useState } from 'react'
import type { TrainingJobOut } from '../../../server/wire/training.ts'
import { toHubFailure } from '../../failure.ts'
import { useStore } from '../../store.ts'
import { duration, figure, moment } from './figures.ts'
import { NewRun } from './new_run.tsx'
import type { Parts } from './parts.ts'
import { RunView } from './run_view.tsx'
import { isOpen } from './training.ts'
import { Empty, Failure } from './widgets.tsx'
import { useWords } from './words.ts'

const NEW = '.new'

export function TrainingTab(parts: Parts) {
  const { training, rest, go } = parts
  const w = useWords()
  const jobs = useStore(training.store, state => state.jobs)
  const more = useStore(training.store, state => state.moreJobs)
  const [failure, setFailure] = useState<string>()

  if (rest === NEW || rest.startsWith(`${NEW}/`)) {
    return <NewRun {...parts} dataset={rest.slice(NEW.length + 1)} close={() => go('training')} />
  }
  if (rest !== '') return <RunView key={rest} {...parts} id={rest} />
  if (jobs === undefined) return <p className="hint">{w.loading}</p>
  return (
    <>
      <div className="toolbar">
        <button type="button" onClick={() => go('training', NEW)}>
          {w.newRun}
        </button>
      </div>
      {jobs.length === 0 && <Empty title={w.runsNone} hint={w.runsNoneHint} />}
      <ul className="cards">
        {jobs.map(job => (
          <li key={job.id}>
            <RunCard {...parts} job={job} open={() => go('training', job.id)} />
          </li>
        ))}
      </ul>
      {more && (
        <button
          type="button"
          className="link"
          onClick={() => {
            training.readMoreJobs().catch(thrown => setFailure(toHubFailure(thrown).message))
          }}
        >
          {w.more}
        </button>
      )}
      <Failure text={failure} />
    </>
  )
}

function RunCard({ training, job, open }: Parts & { job: TrainingJobOut; open(): void }) {
  const w = useWords()
  const live = useStore(training.store, state => state.progress[job.id])
  const progress = live ?? job.progress
  return (
    <button type="button" className="card" onClick={open}>
      <span className="card-title">{`${job.model}:${job.name}`}</span>
      <span>
        <span className={`badge ${job.status}`}>{w.statuses[job.status]}</span>
        {isOpen(job) && job.stage !== undefined && job.stage !== 'training' && ` ${w.stages[job.stage]}`}
        {job.status === 'running' && progress !== undefined && ` ${w.left(duration(progress.seconds_left))}`}
        {job.best_validation_loss !== undefined &&
          ` ${w.bestLoss.toLowerCase()} ${figure(job.best_validation_loss, w.locale)}`}
      </span>
      {isOpen(job) && progress !== undefined && (
        <progress aria-hidden="true" value={progress.step} max={Math.max(1, progress.total_steps)} />
      )}
      <span className="hint">
        {job.dataset !== undefined && `${w.onDataset(job.dataset.name)} · `}
        {moment(job.created_at * 1000, w.locale)}
      </span>
    </button>
  )
}
