/** A quality report as text for the terminal. */
import type { Finding, QualityReport } from '../wire/quality.ts'

const BAR = 30

/** The report in lines of about 100 columns: numbers, lengths, languages, and each fault with what was done about it. */
export function describeReport(report: QualityReport): string {
  const found = report.findings.filter(({ count }) => count > 0)
  const clean = report.findings.filter(({ count, limit }) => count === 0 && limit === undefined)
  const limited = report.findings.filter(({ count, limit }) => count === 0 && limit !== undefined)
  const kinds = Object.entries(report.kinds).map(([kind, n]) => `${number(n)} ${kind}`)
  const lines = [
    `${number(report.samples)} samples (${kinds.join(', ') || 'none'}), ${number(report.characters)} characters`,
    `With the filters as they are: ${number(report.kept)} kept, ${number(report.changed)} of them masked or repaired, ${number(report.removed)} left out`,
    '',
    ...lengthLines(report),
    '',
    `Languages  ${report.languages.map(({ language, share }) => `${language} ${percent(share)}`).join('  ') || 'none'}`,
    '',
    found.length === 0 ? 'Nothing found.' : 'Found',
    ...found.flatMap(finding => findingLines(finding, report.samples)),
  ]
  if (clean.length > 0)
    lines.push('', wrap(`Looked for and not found: ${clean.map(({ title }) => lower(title)).join(', ')}.`))
  for (const { title, limit } of limited) lines.push(`${title}: ${limit}`)
  return lines.join('\n')
}

function lengthLines({ tokens, samples }: QualityReport): string[] {
  if (samples === 0) return ['Tokens     none']
  const { p50, p90, p99, most, total } = tokens
  const most1 = Math.max(1, ...tokens.histogram.map(bucket => bucket.samples))
  const width = Math.max(...tokens.histogram.map(({ upTo }) => number(upTo).length))
  return [
    `Tokens     ${number(total)} in all; half of the samples have at most ${number(p50)}, 90% ${number(p90)}, 99% ${number(p99)}, the longest ${number(most)}`,
    ...(tokens.exact ? [] : ['           (estimated from characters: no tokenizer was given)']),
    ...tokens.histogram.map(
      bucket =>
        `  ≤ ${number(bucket.upTo).padStart(width)}  ${'█'.repeat(Math.ceil((bucket.samples / most1) * BAR)).padEnd(BAR)} ${number(bucket.samples)}`,
    ),
  ]
}

function findingLines(finding: Finding, samples: number): string[] {
  const { severity, title, count, kinds, examples, limit, id } = finding
  const lines = [
    `  ${mark(severity)} ${title}: ${number(count)} (${percent(count / samples)})   ${outcome(finding)}   [${id}]`,
  ]
  const named = Object.entries(kinds)
  if (named.length > 0) lines.push(`      ${named.map(([kind, n]) => `${kind} ${number(n)}`).join(', ')}`)
  for (const { sample, source, line, excerpt, note } of examples.slice(0, 2)) {
    const where = source === undefined ? `sample ${sample}` : `${source}${line === undefined ? '' : `:${line}`}`
    lines.push(`      ${where}${note === undefined ? '' : ` (${note})`}: ${excerpt.slice(0, 90)}`)
  }
  if (limit !== undefined) lines.push(`      ${limit}`)
  return lines
}

function mark(severity: Finding['severity']): string {
  return { error: '✗', warning: '!', info: '·' }[severity]
}

function outcome({ action, filtered, removed, changed }: Finding): string {
  if (action === 'report') return 'reported only'
  if (!filtered) return 'filter off: nothing changed'
  if (action === 'drop') return `${number(removed)} left out`
  return `${number(changed)} ${action === 'mask' ? 'masked' : 'repaired'}`
}

function number(n: number): string {
  return n.toLocaleString('en-US')
}

function percent(share: number): string {
  return share > 0 && share < 0.001 ? '<0.1%' : `${(share * 100).toFixed(1)}%`
}

function lower(title: string): string {
  return title[0]!.toLowerCase() + title.slice(1)
}

function wrap(text: string): string {
  return text.replace(/(.{1,98})(?:\s|$)/g, '$1\n').trimEnd()
}
