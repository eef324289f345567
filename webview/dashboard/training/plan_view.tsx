/** A plan: what a run will take and do, and each setting with its reason. */
import type { TokenStats, TrainingPlan } from '../../../server/wire/training_plan.ts'
import { sizeText } from '../../texts.ts'
import { count, duration, figure } from './figures.ts'
import { Facts, Scroll } from './widgets.tsx'
import { useWords } from './words.ts'

export function PlanView(props: {
  plan: TrainingPlan
  stats?: TokenStats | undefined
  samples?: { training: number; validation: number } | undefined
  notes?: string[]
  /** Names of what a person chose. */
  chosen?: string[]
}) {
  const { plan, stats, samples, notes = [], chosen = [] } = props
  const { expected, reasons, warnings } = plan
  const w = useWords()
  const number = (value: number): string => count(value, w.locale)
  return (
    <div className="plan">
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
      <Facts
        facts={[
          samples !== undefined && [w.planFacts.learn, w.samples(number(samples.training))],
          samples !== undefined && [
            w.planFacts.validate,
            samples.validation > 0 ? w.samples(number(samples.validation)) : w.planNoValidation,
          ],
          stats !== undefined && [w.planFacts.tokens, w.planTokens(number(stats.tokens), number(stats.targetTokens))],
          [w.planFacts.steps, number(expected.steps)],
          [
            w.planFacts.time,
            <>
              {w.planTime(duration(expected.seconds))}{' '}
              <span className="hint" lang="en">
                {expected.basis}
              </span>
            </>,
          ],
          [
            w.planFacts.memory,
            <>
              {w.planMemory(sizeText(expected.memoryBytes, w.locale), sizeText(expected.freeBytes, w.locale))}{' '}
              <span className="hint">
                {w.planMemoryParts(
                  sizeText(expected.memory.weightsBytes, w.locale),
                  sizeText(expected.memory.parameterBytes, w.locale),
                  sizeText(expected.memory.computeBytes, w.locale),
                )}
              </span>
              <meter
                aria-hidden="true"
                min={0}
                max={Math.max(1, expected.freeBytes)}
                high={expected.freeBytes * 0.9}
                value={expected.memoryBytes}
              />
            </>,
          ],
          [w.planFacts.speed, w.perSecond(figure(expected.tokensPerSecond, w.locale))],
        ]}
      />
      {notes.length > 0 && (
        <details className="more" open>
          <summary>{w.notes}</summary>
          <ul lang="en">
            {notes.map(note => (
              <li key={note}>{note}</li>
            ))}
          </ul>
        </details>
      )}
      <Scroll name={w.hyper}>
        <table className="reasons">
          <caption>{w.hyper}</caption>
          <thead>
            <tr>
              <th scope="col">{w.planSetting}</th>
              <th scope="col">{w.planValue}</th>
              <th scope="col">{w.planWhy}</th>
            </tr>
          </thead>
          <tbody>
            {Object.entries(reasons).map(([name, reason]) => (
              <tr key={name} className={chosen.includes(name) ? 'chosen' : ''}>
                <th scope="row">{w.hyperNames[name] ?? name.replaceAll('_', ' ')}</th>
                <td>{show(plan.values?.[name], w)}</td>
                <td lang="en">{reason}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </Scroll>
    </div>
  )
}

function show(value: unknown, w: ReturnType<typeof useWords>): string {
  if (typeof value === 'number') return Number.isInteger(value) ? String(value) : figure(value, w.locale)
  if (typeof value === 'boolean') return value ? w.yes : w.no
  if (Array.isArray(value)) return value.join(', ')
  return typeof value === 'string' ? value : '–'
}
