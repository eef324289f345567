/** One run: where it stands, what can be done with it, its curves, what it answers, what happened, and its plan. */
import { useEffect, useState } from 'react'
import type { SearchOut, TrainingJobOut } from '../../../server/wire/training.ts'
import { toHubFailure } from '../../failure.ts'
import { PageLink } from '../../page_link.tsx'
import { useStore } from '../../store.ts'
import { sizeText } from '../../texts.ts'
import { count, duration, figure, moment, percent } from './figures.ts'
import { compareRoute, type Parts } from './parts.ts'
import { PlanView } from './plan_view.tsx'
import { RunCurves } from './run_curves.tsx'
import { RunSamples } from './run_samples.tsx'
import { isOpen } from './training.ts'
import { Confirm, Facts, Failure, Head, Scroll, useAction } from './widgets.tsx'
import { useWords } from './words.ts'

export function RunView(props: Parts & { id: string }) {
  const { training, id, go } = props
  const w = useWords()
  const job = useStore(training.store, state => state.jobs?.find(each => each.id === id))
  const known = useStore(training.store, state => state.jobs !== undefined)
  const [failure, setFailure] = useState<string>()
  const action = useAction()

  // A run that is older than the list is read by itself.
  useEffect(() => {
    if (known && job === undefined) training.readJob(id).catch(thrown => setFailure(toHubFailure(thrown).message))
  }, [training, id, known, job])

  if (job === undefined) {
    return failure === undefined ? (
      <p className="hint">{w.loading}</p>
    ) : (
      <>
        <Head title={w.lostRun} back={() => go('training')} />
        <Failure text={failure} />
      </>
    )
  }
  const steer = (what: 'pause' | 'resume' | 'cancel') => void action.run(() => training.steer(id, what))
  const { status } = job
  return (
    <>
      <Head title={`${job.model}:${job.name}`} back={() => go('training')}>
        <div className="actions-row">
          {isOpen(job) && (
            <button
              type="button"
              className="secondary"
              title={w.pauseHint}
              disabled={action.busy}
              onClick={() => steer('pause')}
            >
              {w.pause}
            </button>
          )}
          {(status === 'paused' || status === 'failed' || status === 'cancelled') && (
            <button type="button" title={w.resumeHint} disabled={action.busy} onClick={() => steer('resume')}>
              {w.resume}
            </button>
          )}
          {(isOpen(job) || status === 'paused') && (
            <Confirm
              label={w.cancelRun}
              question={w.cancelSure}
              no={w.keepRunning}
              disabled={action.busy}
              act={() => steer('cancel')}
            />
          )}
        </div>
      </Head>
      <Failure text={action.failure} />
      <Standing {...props} job={job} />
      <Next {...props} job={job} />
      {job.search !== undefined && <Trials search={job.search} />}
      <RunCurves {...props} job={job} />
      <RunSamples {...props} job={job} />
      <RunLog {...props} />
      {job.plan !== undefined && (
        <details className="more">
          <summary>{w.planOf}</summary>
          <PlanView plan={job.plan} stats={job.stats} />
        </details>
      )}
    </>
  )
}

/** Status, bar and figures. */
function Standing({ training, job }: Parts & { job: TrainingJobOut }) {
  const w = useWords()
  const live = useStore(training.store, state => state.progress[job.id])
  const progress = live ?? job.progress
  const text = (value: number): string => figure(value, w.locale)
  const isRunning = job.status === 'running'
  const stage = isOpen(job) && job.stage !== undefined ? w.stages[job.stage] : undefined
  return (
    <section>
      <p role="status" className="standing">
        <span className={`badge ${job.status}`}>{w.statuses[job.status]}</span> {stage}{' '}
        {job.dataset !== undefined && (
          <span className="hint">{w.onDataset(`${job.dataset.name} (${w.version(job.dataset.version)})`)}</span>
        )}
        {job.note !== undefined && (
          <span className="hint" lang="en">
            {' '}
            {job.note}
          </span>
        )}
      </p>
      {job.error !== null && (
        <p className="problem" role="alert" lang="en">
          {job.error.message}
        </p>
      )}
      {progress !== undefined && (
        <>
          <progress
            aria-label={w.step(count(progress.step, w.locale), count(progress.total_steps, w.locale))}
            value={progress.step}
            max={Math.max(1, progress.total_steps)}
          />
          <p>
            {w.step(count(progress.step, w.locale), count(progress.total_steps, w.locale))}
            {` · ${w.epoch(text(progress.epoch))}`}
            {isRunning && ` · ${w.left(duration(progress.seconds_left))}`}
            {isRunning && ` · ${w.perSecond(text(progress.tokens_per_second))}`}
            {job.status === 'succeeded' && progress.step < progress.total_steps && ` · ${w.stoppedEarly}`}
          </p>
          <Facts
            facts={[
              [w.loss, text(progress.loss)],
              progress.validation_loss !== undefined && [w.validationLoss, text(progress.validation_loss)],
              job.best_validation_loss !== undefined && [w.bestLoss, text(job.best_validation_loss)],
              [w.learningRate, text(progress.learning_rate)],
              [w.gradientNorm, text(progress.gradient_norm)],
              progress.accuracy !== undefined && [w.accuracy, percent(progress.accuracy, w.locale)],
              progress.margin !== undefined && [w.margin, text(progress.margin)],
              isRunning && [w.memory, sizeText(progress.memory_bytes, w.locale)],
              isRunning && progress.device_bytes > 0 && [w.device, sizeText(progress.device_bytes, w.locale)],
            ]}
          />
        </>
      )}
      <p className="hint">
        {moment(job.created_at * 1000, w.locale)}
        {job.checkpoint_step !== undefined &&
          job.status !== 'succeeded' &&
          ` · ${w.checkpointAt(count(job.checkpoint_step, w.locale))}`}
        {job.restarts > 0 && ` · ${w.restarts(job.restarts, count(job.lost_steps, w.locale))}`}
      </p>
    </section>
  )
}

/** What happens next, or what a person can do now. */
function Next(props: Parts & { job: TrainingJobOut }) {
  const { bridge, job, go } = props
  const w = useWords()
  const { status, result_model: made, evaluation } = job
  if (status === 'queued') return <p className="hint">{w.nextQueued}</p>
  if (status === 'paused') return <p className="hint">{w.nextPaused}</p>
  if (status !== 'succeeded') return null
  if (made === null) return <p className="done">{w.searchDone}</p>
  return (
    <div className="next">
      <p>
        <strong>{w.nextDone(made)}</strong> {w.nextDoneHint}
      </p>
      <div className="actions-row">
        <PageLink bridge={bridge} to="chat" route={`model=${encodeURIComponent(made)}`}>
          {w.useIt}
        </PageLink>
        <PageLink bridge={bridge} to="chat" route={compareRoute(job.model, made)}>
          {w.compareIt}
        </PageLink>
        <button type="button" className="link" onClick={() => go('adapters', made)}>
          {w.openAdapter}
        </button>
        {evaluation === undefined ? (
          <button type="button" className="link" onClick={() => go('adapters', `.evaluate/${made}`)}>
            {w.evaluateIt}
          </button>
        ) : (
          <button type="button" className="link" onClick={() => go('adapters', `.evaluation/${evaluation}`)}>
            {w.openEvaluation}
          </button>
        )}
      </div>
    </div>
  )
}

function Trials({ search }: { search: SearchOut }) {
  const w = useWords()
  return (
    <details className="more">
      <summary>{w.searchTrials}</summary>
      <Scroll name={w.searchTrials}>
        <table>
          <thead>
            <tr>
              <th scope="col">{w.trial}</th>
              <th scope="col">{w.learningRate}</th>
              <th scope="col">{w.rank}</th>
              <th scope="col">{w.trialLoss}</th>
            </tr>
          </thead>
          <tbody>
            {search.trials.map(({ number, settings, rounds, failure }) => (
              <tr key={number}>
                <th scope="row">
                  {number}
                  {settings.learning_rate === search.best.learning_rate && settings.rank === search.best.rank && (
                    <span className="badge succeeded">{w.best}</span>
                  )}
                </th>
                <td className="number">{figure(settings.learning_rate, w.locale)}</td>
                <td className="number">{settings.rank}</td>
                <td>
                  {failure ??
                    rounds
                      .map(({ validationLoss }) => (validationLoss === null ? '–' : figure(validationLoss, w.locale)))
                      .join(' → ')}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </Scroll>
    </details>
  )
}

function RunLog({ training, id }: Parts & { id: string }) {
  const w = useWords()
  const log = useStore(training.store, state => state.logs[id])
  const [failure, setFailure] = useState<string>()
  useEffect(() => {
    training.readLog(id).catch(thrown => setFailure(toHubFailure(thrown).message))
  }, [training, id])
  return (
    <section>
      <h3>{w.log}</h3>
      <Failure text={failure} />
      {log !== undefined && log.length === 0 && <p className="hint">{w.logEmpty}</p>}
      <Scroll className="log" name={w.log}>
        <ol lang="en">
          {log?.toReversed().map(({ id: line, level, message, created_at }) => (
            <li key={line} className={level}>
              <time dateTime={new Date(created_at * 1000).toISOString()}>
                {new Date(created_at * 1000).toLocaleTimeString(w.locale)}
              </time>{' '}
              {message}
            </li>
          ))}
        </ol>
      </Scroll>
    </section>
  )
}
