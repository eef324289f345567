/** An evaluation: how far it is, then what it says, with intervals and in words. */
import { useEffect, useState } from 'react'
import type { EvaluationOut, EvaluationReport } from '../../../server/wire/evaluation.ts'
import { toHubFailure } from '../../failure.ts'
import { PageLink } from '../../page_link.tsx'
import { useStore } from '../../store.ts'
import { count, duration, figure, moment } from './figures.ts'
import { MetricRow } from './interval.tsx'
import { compareRoute, type Parts } from './parts.ts'
import { badgeOf } from './verdict.ts'
import { Confirm, Facts, Failure, Head, Scroll, useAction } from './widgets.tsx'
import { useWords } from './words.ts'

/** The hub answers sooner when the evaluation ends. */
const WAIT_S = 2

export function EvaluationView(props: Parts & { id: string }) {
  const { bridge, hub, training, id, go } = props
  const w = useWords()
  const evaluation = useStore(training.store, state => state.evaluations?.find(each => each.id === id))
  const connected = useStore(hub, state => state.connected)
  const [failure, setFailure] = useState<string>()
  const action = useAction()
  const path = `/v1/training/evaluations/${encodeURIComponent(id)}`

  // A hub that was away goes on with it when it is back, and so does the page.
  useEffect(() => {
    if (!connected) return
    setFailure(undefined)
    const stopper = new AbortController()
    const { signal } = stopper
    const follow = async (): Promise<void> => {
      for (let wait = ''; ; wait = `?wait=${WAIT_S}`) {
        const now = await bridge.request<EvaluationOut>('GET', path + wait, undefined, { signal })
        training.addEvaluation(now)
        if (now.status !== 'queued' && now.status !== 'running') return
      }
    }
    follow().catch((thrown: unknown) => {
      if (!signal.aborted) setFailure(toHubFailure(thrown).message)
    })
    return () => stopper.abort()
  }, [bridge, connected, training, path])

  const back = () => go('adapters')
  if (evaluation === undefined) {
    return failure === undefined ? (
      <p className="hint">{w.loading}</p>
    ) : (
      <>
        <Head title={w.lostEvaluation} back={back} />
        <Failure text={failure} />
      </>
    )
  }
  const { status, request, progress, report, error } = evaluation
  const isOpen = status === 'queued' || status === 'running'
  return (
    <>
      <Head title={`${request.candidate} · ${w.compareWith.toLowerCase()} ${request.base}`} back={back}>
        <div className="actions-row">
          <PageLink bridge={bridge} to="chat" route={compareRoute(request.base, request.candidate)}>
            {w.compareIt}
          </PageLink>
          {isOpen && (
            <Confirm
              label={w.cancelEvaluation}
              question={`${w.cancelEvaluation}?`}
              yes={w.yes}
              no={w.no}
              act={() =>
                void action.run(async () =>
                  training.addEvaluation(await bridge.request<EvaluationOut>('POST', `${path}/cancel`)),
                )
              }
            />
          )}
        </div>
      </Head>
      <Failure text={failure ?? action.failure} />
      <p role="status">
        {report === null && <span className={`badge ${status}`}>{w.evaluationStatuses[status]}</span>}{' '}
        {isOpen && progress !== null && (
          <>
            {w.evaluationStage[progress.stage] ?? progress.stage}: {count(progress.done, w.locale)} /{' '}
            {count(progress.total, w.locale)}
          </>
        )}
      </p>
      {isOpen && progress !== null && (
        <progress
          aria-label={w.evaluationStage[progress.stage] ?? progress.stage}
          value={progress.done}
          max={Math.max(1, progress.total)}
        />
      )}
      {error !== null && (
        <p className="problem" role="alert" lang="en">
          {error.message}
        </p>
      )}
      {report !== null && <Report report={report} />}
    </>
  )
}

function Report({ report }: { report: EvaluationReport }) {
  const w = useWords()
  const { verdict, candidate, base, samples, dataset, metrics, forgetting, perplexity, warnings } = report
  const isGeneral = (name: string): boolean => name.startsWith('regression_')
  const skipped = Object.entries(samples.skipped)
  return (
    <div className="report">
      <div className="verdict">
        <span className={`badge ${badgeOf(verdict)}`}>{w.verdicts[verdict]}</span>
        <p>
          <strong>{w.verdictText[verdict](candidate.id, base.id)}</strong>{' '}
          {verdict === 'not yet known' && w.verdictMore}
        </p>
      </div>
      {warnings.length > 0 && (
        <div className="warning-box">
          <strong>{w.warnings}</strong>
          <ul lang="en">
            {warnings.map(warning => (
              <li key={warning}>{warning}</li>
            ))}
          </ul>
        </div>
      )}
      <ul className="metrics">
        {metrics
          .filter(({ name }) => !isGeneral(name))
          .map(metric => (
            <MetricRow key={metric.name} metric={metric} />
          ))}
      </ul>
      <section>
        <h3>{w.forgetting}</h3>
        <p>
          <span className={`badge ${{ seen: 'failed', 'not seen': 'succeeded' }[forgetting as string] ?? 'unknown'}`}>
            {w.forgettings[forgetting]}
          </span>
        </p>
        <ul className="metrics">
          {metrics
            .filter(({ name }) => isGeneral(name))
            .map(metric => (
              <MetricRow key={metric.name} metric={metric} />
            ))}
        </ul>
        {report.regression.length > 0 && <FixedQuestions report={report} />}
      </section>
      {report.changed.length > 0 && (
        <section>
          <h3>{w.changedAnswers}</h3>
          {report.changed.map(({ metric, index, source, line, better, base_answer, candidate_answer }) => (
            <div key={`${metric}-${index}`} className="answers">
              <p>
                <span className={`badge ${better === 'candidate' ? 'succeeded' : 'failed'}`}>
                  {better === 'candidate' ? w.becameRight : w.becameWrong}
                </span>{' '}
                <span className="hint">
                  {w.metrics[metric]}
                  {source !== undefined && ` · ${source}${line === undefined ? '' : `:${line}`}`}
                </span>
              </p>
              <div className="piece">
                <span className="piece-name">{base.id}</span>
                <pre className="excerpt">{base_answer}</pre>
              </div>
              <div className="piece">
                <span className="piece-name">{candidate.id}</span>
                <pre className="excerpt">{candidate_answer}</pre>
              </div>
            </div>
          ))}
        </section>
      )}
      <Facts
        facts={[
          dataset !== undefined && [
            w.dataset,
            w.measuredOn(
              count(samples.taken, w.locale),
              count(samples.read, w.locale),
              `${dataset.name}, ${w.version(dataset.version)}, ${w.parts[dataset.part]}`,
            ),
          ],
          [
            w.kind,
            Object.entries(samples.kinds)
              .map(([kind, times]) => `${w.kinds[kind] ?? kind}: ${count(times, w.locale)}`)
              .join(', '),
          ],
          perplexity !== undefined && [
            w.perplexity,
            <>
              {w.baseToCandidate(figure(perplexity.base, w.locale), figure(perplexity.candidate, w.locale))}{' '}
              {!perplexity.comparable && <span className="hint">{w.notComparable}</span>}
            </>,
          ],
          [w.created, `${moment(Date.parse(report.created), w.locale)}, ${w.tookTime(duration(report.seconds))}`],
        ]}
      />
      {skipped.map(([reason, times]) => (
        <p key={reason} className="hint">
          {w.notMeasured(count(times, w.locale), reason)}
        </p>
      ))}
      <details className="more">
        <summary>{w.hubSays}</summary>
        <p lang="en">{report.summary}</p>
      </details>
    </div>
  )
}

function FixedQuestions({ report }: { report: EvaluationReport }) {
  const w = useWords()
  const mark = (isRight: boolean): string => (isRight ? `✓ ${w.right}` : `✗ ${w.wrong}`)
  return (
    <details className="more">
      <summary>{w.fixedQuestions}</summary>
      <Scroll name={w.fixedQuestions}>
        <table>
          <thead>
            <tr>
              <th scope="col">{w.question}</th>
              <th scope="col">{report.base.id}</th>
              <th scope="col">{report.candidate.id}</th>
            </tr>
          </thead>
          <tbody>
            {report.regression.map(
              ({ id, language, question, base_right, candidate_right, base_loss, candidate_loss }) => (
                <tr key={id} className={base_right === candidate_right ? '' : 'chosen'}>
                  <th scope="row" className="asked" {...(question !== undefined && { lang: language })}>
                    {question ?? id.replaceAll('_', ' ')}
                  </th>
                  <td>
                    {mark(base_right)}{' '}
                    {base_loss !== undefined && <span className="hint">{figure(base_loss, w.locale)}</span>}
                  </td>
                  <td>
                    {mark(candidate_right)}{' '}
                    {candidate_loss !== undefined && <span className="hint">{figure(candidate_loss, w.locale)}</span>}
                  </td>
                </tr>
              ),
            )}
          </tbody>
        </table>
      </Scroll>
    </details>
  )
}
