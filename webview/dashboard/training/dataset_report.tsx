/** What the inspection of a dataset found: how much was kept, how long its samples are, and each kind of fault with examples. */
import type { DatasetCheck } from '../../../server/wire/dataset.ts'
import type { Finding, QualityReport } from '../../../server/wire/quality.ts'
import { count, percent } from './figures.ts'
import { Facts } from './widgets.tsx'
import { useWords } from './words.ts'

export function DatasetReport({ report }: { report: QualityReport }) {
  const w = useWords()
  const number = (value: number): string => count(value, w.locale)
  const found = report.findings.filter(finding => finding.count > 0)
  const limited = report.findings.filter(finding => finding.count === 0 && finding.limit !== undefined)
  const clean = report.findings.filter(finding => finding.count === 0 && finding.limit === undefined)
  return (
    <div className="report">
      <Facts
        facts={[
          [w.read, number(report.samples)],
          [w.kept, number(report.kept)],
          [w.removed, number(report.removed)],
          [w.changed, number(report.changed)],
        ]}
      />
      <section>
        <h3>{w.found}</h3>
        {found.length === 0 ? (
          <p className="done">{w.foundNothing}</p>
        ) : (
          <ul className="findings">
            {found.map(finding => (
              <FindingRow key={finding.id} finding={finding} samples={report.samples} />
            ))}
          </ul>
        )}
        {limited.map(({ id, limit }) => (
          <p key={id} className="hint">
            {w.findings[id]}: <span lang="en">{limit}</span>
          </p>
        ))}
        {clean.length > 0 && (
          <details className="more">
            <summary>{w.notFound(clean.length)}</summary>
            <ul>
              {clean.map(({ id }) => (
                <li key={id}>{w.findings[id]}</li>
              ))}
            </ul>
          </details>
        )}
      </section>
      <Lengths report={report} />
      {report.languages.length > 0 && (
        <section>
          <h3>{w.languages}</h3>
          <ul className="bars">
            {report.languages.slice(0, 8).map(({ language, share, samples }) => (
              <Bar
                key={language}
                label={languageName(language, w)}
                share={share}
                text={`${percent(share, w.locale)} · ${w.samples(number(samples))}`}
              />
            ))}
          </ul>
        </section>
      )}
    </div>
  )
}

function FindingRow({ finding, samples }: { finding: Finding; samples: number }) {
  const w = useWords()
  const { id, severity, kinds, examples, limit } = finding
  const named = Object.entries(kinds)
  return (
    <li className={severity}>
      <div className="finding-head">
        <span className="finding-title">{w.findings[id]}</span>
        <span className={`badge ${severity}`}>{w.severities[severity]}</span>
        <span>
          {w.samples(count(finding.count, w.locale))} ({percent(finding.count / Math.max(1, samples), w.locale)})
        </span>
      </div>
      <p>
        {outcome(finding, w)}
        {named.length > 0 && (
          <span className="hint" lang="en">
            {' '}
            {named.map(([kind, times]) => `${kind.replaceAll('_', ' ')}: ${count(times, w.locale)}`).join(', ')}
          </span>
        )}
      </p>
      {limit !== undefined && (
        <p className="hint" lang="en">
          {limit}
        </p>
      )}
      {examples.length > 0 && (
        <details className="more">
          <summary>{w.examples}</summary>
          <ul className="examples">
            {examples.map(({ sample, source, line, excerpt, note }) => (
              <li key={`${sample}-${line}-${excerpt}`}>
                <span className="hint">
                  {source === undefined ? w.sampleAt(sample) : `${source}${line === undefined ? '' : `:${line}`}`}
                  {note !== undefined && <span lang="en"> · {note}</span>}
                </span>
                <pre className="excerpt">{excerpt}</pre>
              </li>
            ))}
          </ul>
        </details>
      )}
    </li>
  )
}

function outcome({ action, filtered, removed, changed }: Finding, w: ReturnType<typeof useWords>): string {
  if (action === 'report') return w.outcomeReport
  if (!filtered) return w.outcomeOff
  if (action === 'drop') return w.outcomeDrop(count(removed, w.locale))
  if (action === 'mask') return w.outcomeMask(count(changed, w.locale))
  return w.outcomeRepair(count(changed, w.locale))
}

function Lengths({ report: { tokens, samples } }: { report: QualityReport }) {
  const w = useWords()
  if (samples === 0 || tokens.histogram.length === 0) return null
  const number = (value: number): string => count(value, w.locale)
  const most = Math.max(1, ...tokens.histogram.map(bucket => bucket.samples))
  return (
    <section>
      <h3>{w.lengths}</h3>
      <p>{w.lengthsText(number(tokens.p50), number(tokens.p90), number(tokens.most))}</p>
      {!tokens.exact && <p className="hint">{w.estimated}</p>}
      <ul className="bars">
        {tokens.histogram.map(bucket => (
          <Bar
            key={bucket.upTo}
            label={w.upTo(number(bucket.upTo))}
            share={bucket.samples / most}
            text={w.samples(number(bucket.samples))}
          />
        ))}
      </ul>
    </section>
  )
}

/** A bar beside its words: the words say it all, the bar is for the eye. */
export function Bar({ label, share, text }: { label: string; share: number; text: string }) {
  return (
    <li>
      <span>{label}</span>
      <svg className="bar" viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true">
        <rect width={Math.max(0, Math.min(1, share)) * 100} height="8" rx="1" />
      </svg>
      <span className="hint">{text}</span>
    </li>
  )
}

export function Problems({ problems }: { problems: DatasetCheck['problems'] }) {
  const w = useWords()
  if (problems.count === 0) return null
  return (
    <details className="more warning-box">
      <summary>{w.problems(count(problems.count, w.locale))}</summary>
      <ul>
        {problems.first.map(({ source, line, message }) => (
          <li key={`${source}-${line}-${message}`}>
            {source}, {w.line(line)}: <span lang="en">{message}</span>
          </li>
        ))}
      </ul>
    </details>
  )
}

function languageName(code: string, w: ReturnType<typeof useWords>): string {
  const own = w.languageNames[code]
  if (own !== undefined) return own
  try {
    return new Intl.DisplayNames([w.locale], { type: 'language' }).of(code) ?? code
  } catch {
    return code
  }
}
