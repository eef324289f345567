/** What needs attention, each with the button that helps. */
import type { ReactNode } from 'react'
import { IconButton } from '../icons.tsx'
import { useStore } from '../store.ts'
import { useText } from '../texts.ts'
import { useFigures } from './figures.ts'
import type { Parts } from './parts.ts'
import { findProblems, type Problem } from './problems.ts'
import { useDashboardText } from './texts.ts'

/** @param kinds only these; all without it */
export function Problems(props: Parts & { kinds?: Problem['kind'][] }) {
  const { hub, known, kinds } = props
  const d = useDashboardText()
  const models = useStore(hub, state => state.models)
  const system = useStore(hub, state => state.system)
  const settings = useStore(known.store, state => state.settings)
  const dismissed = useStore(known.store, state => state.dismissed)
  const problems = findProblems({ models, system, settings }).filter(
    ({ kind }) => (kinds === undefined || kinds.includes(kind)) && !dismissed.includes(kind),
  )
  return (
    <ul className="problems" aria-label={d.problems}>
      {problems.map(problem => (
        <OneProblem key={`${problem.kind} ${'model' in problem ? problem.model : ''}`} {...props} problem={problem} />
      ))}
    </ul>
  )
}

function OneProblem({ problem, known, acting, go }: Parts & { problem: Problem }) {
  const d = useDashboardText()
  const t = useText()
  const figures = useFigures()
  switch (problem.kind) {
    case 'no_memory': {
      const { model, message, others, context } = problem
      const isBusy = acting.busy.has(model)
      return (
        <Item grave title={d.noMemory(model)} text={message}>
          {others.length > 0 && (
            <button type="button" disabled={isBusy} onClick={() => void acting.makeRoom(model, others)}>
              {d.unloadOthers(others.join(', '))}
            </button>
          )}
          {context !== undefined && (
            <button
              type="button"
              className={others.length > 0 ? 'secondary' : ''}
              disabled={isBusy}
              onClick={() => void acting.loadSmaller(model, context)}
            >
              {d.loadWithContext(figures.count(context))}
            </button>
          )}
          <button type="button" className="secondary" disabled={isBusy} onClick={() => void acting.load(model)}>
            {d.tryAgain}
          </button>
        </Item>
      )
    }
    case 'failed':
      return (
        <Item grave title={d.loadFailed(problem.model)} text={problem.message}>
          <button
            type="button"
            disabled={acting.busy.has(problem.model)}
            onClick={() => void acting.load(problem.model)}
          >
            {d.tryAgain}
          </button>
          <button type="button" className="secondary" onClick={() => go('system')}>
            {d.checkMachine}
          </button>
        </Item>
      )
    case 'broken':
      return (
        <Item title={d.brokenFile(problem.model)} text={problem.message}>
          <button type="button" className="secondary" onClick={() => go('models', problem.model)}>
            {d.showModel}
          </button>
        </Item>
      )
    case 'restart':
      return (
        <Item title={d.restartNeeded(problem.settings.join(', '))} text={d.restartHow}>
          <button type="button" className="secondary" onClick={() => go('settings')}>
            {d.showSettings}
          </button>
        </Item>
      )
    case 'no_gpu':
      return (
        <Item
          title={d.noGpu}
          text={d.noGpuText}
          corner={<IconButton icon="close" label={t.close} onClick={() => known.dismiss('no_gpu')} />}
        >
          <details className="reasons">
            <summary>{d.whyNot}</summary>
            <dl className="facts">
              {problem.reasons.map(({ library, reason }) => (
                <div key={library}>
                  <dt>{library}</dt>
                  <dd>{reason}</dd>
                </div>
              ))}
            </dl>
          </details>
          <button type="button" className="secondary" onClick={() => go('system')}>
            {d.checkMachine}
          </button>
        </Item>
      )
  }
}

function Item(props: { grave?: boolean; title: string; text: string; corner?: ReactNode; children: ReactNode }) {
  const { grave = false, title, text, corner, children } = props
  return (
    <li className={`problem-card ${grave ? 'grave' : ''}`}>
      <div className="card-head">
        <strong>{title}</strong>
        {corner}
      </div>
      <p>{text}</p>
      <div className="actions">{children}</div>
    </li>
  )
}
