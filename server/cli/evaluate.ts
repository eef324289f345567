/** `ai-hub evaluate`: compares an adapter with its base on held-out samples, in the running hub or in one of its own, and prints the report. */
import { HubError } from '../lib/error.ts'
import { EvaluationOut, type EvaluationReport, type Metric, type MetricName } from '../wire/evaluation.ts'
import { callHub, type HubAddress } from './api.ts'
import { formatTable, paint, printable, type Terminal } from './terminal.ts'

export type EvaluateOptions = {
  base: string
  candidate: string
  dataset: string
  version?: number
  part?: string
  samples?: number
  answerTokens?: number
  seed?: number
  /** Run the code that the models write, in the sandbox. */
  runCode: boolean
  json: boolean
}

export type EvaluateDeps = {
  findHub(): Promise<HubAddress | undefined>
  /** Starts a hub for this evaluation only. */
  startHub(): Promise<HubAddress & { close(): Promise<void> }>
  terminal: Terminal
  /** What is not the result. */
  notes: Terminal
  /** Whether the notes' terminal can draw a line over. */
  isLive: boolean
  /** Aborts with Ctrl+C. */
  signal: AbortSignal
}

/** How often the progress is told. */
const WAIT_SECONDS = 1

/** Gives the exit code: 0 with a report, 1 when it failed, 130 when it was cancelled. @throws HubError for what the hub refuses */
export async function runEvaluate(deps: EvaluateDeps, options: EvaluateOptions): Promise<number> {
  const running = await deps.findHub()
  const own = running === undefined ? await deps.startHub() : undefined
  const hub: HubAddress = running ?? own ?? { url: '' }
  try {
    if (options.runCode) {
      deps.notes.write('The code that the models write will be run on this machine, in a sandbox.\n')
    }
    const { base, candidate, dataset, version, part, samples, answerTokens, seed, runCode } = options
    const request = {
      base,
      candidate,
      dataset,
      ...(version !== undefined && { version }),
      ...(part !== undefined && { part }),
      ...(samples !== undefined && { max_samples: samples }),
      ...(answerTokens !== undefined && { max_answer_tokens: answerTokens }),
      ...(seed !== undefined && { seed }),
      run_code: runCode,
    }
    const created = await callHub(hub, 'POST', '/v1/training/evaluations', request, deps.signal)
    const ended = await follow(deps, hub, EvaluationOut.parse(created))
    if (ended.report !== null) {
      deps.terminal.write(
        options.json
          ? `${JSON.stringify(ended.report, undefined, 2)}\n`
          : describeEvaluation(ended.report, deps.terminal),
      )
      return 0
    }
    deps.notes.write(`${printable(ended.error?.message ?? `The evaluation ended as ${ended.status}.`)}\n`)
    return ended.status === 'cancelled' ? 130 : 1
  } finally {
    await own?.close()
  }
}

async function follow(deps: EvaluateDeps, hub: HubAddress, created: EvaluationOut): Promise<EvaluationOut> {
  const path = `/v1/training/evaluations/${created.id}`
  let now = created
  let asked = false
  let shown = ''
  while (now.status === 'queued' || now.status === 'running') {
    if (deps.signal.aborted && !asked) {
      asked = true
      await callHub(hub, 'POST', `${path}/cancel`).catch(thrown => {
        // It may have ended in between.
        if (HubError.from(thrown).code === 'internal') throw thrown
      })
    }
    now = EvaluationOut.parse(await callHub(hub, 'GET', `${path}?wait=${WAIT_SECONDS}`))
    const line = now.progress === null ? '' : `${now.progress.stage}: ${now.progress.done} of ${now.progress.total}`
    if (deps.isLive && line !== shown) deps.notes.write(`\r${line.padEnd(shown.length)}`)
    shown = line
  }
  if (deps.isLive && shown !== '') deps.notes.write(`\r${' '.repeat(shown.length)}\r`)
  return now
}

const TITLES: { [name in MetricName]: string } = {
  loss: 'loss per token',
  exact_match: 'exact answers',
  pass_rate: 'tests passed',
  preference_accuracy: 'preferences met',
  regression_loss: 'general: loss per token',
  regression_score: 'general: right answers',
}

/** The report for the terminal: verdict, table, warnings. */
export function describeEvaluation(report: EvaluationReport, terminal: Terminal): string {
  const { base, candidate, dataset, samples, verdict, perplexity, warnings } = report
  const colour = verdict === 'better' ? 'green' : verdict === 'worse' ? 'red' : 'yellow'
  const where = dataset === undefined ? '' : `, ${dataset.part} part of ${dataset.name} v${dataset.version}`
  const skipped = Object.entries(samples.skipped)
  const rows = formatTable(
    [['', 'base', 'candidate', 'difference', 'interval', 'p', 'samples', ''], ...report.metrics.map(metricRow)],
    [1, 2, 3, 5, 6],
  )
  const lines = [
    paint(terminal, 'bold', `${printable(candidate.id)} against ${printable(base.id)}`),
    `  ${samples.taken} of ${samples.read} samples${where}, ${report.seconds.toFixed(0)} s`,
    '',
    ...rows.map((row, index) => `  ${index === 0 ? paint(terminal, 'bold', row) : row}`),
    '',
    ...(perplexity === undefined
      ? []
      : [
          `  Perplexity ${perplexity.base.toFixed(3)} -> ${perplexity.candidate.toFixed(3)}${perplexity.comparable ? '' : ' (not comparable: other tokens)'}`,
        ]),
    `  Forgetting: ${report.forgetting}`,
    ...skipped.map(([reason, count]) => `  ${count} not measured: ${printable(reason)}`),
    ...warnings.map(warning => paint(terminal, 'yellow', `  ${printable(warning)}`)),
    '',
    paint(terminal, colour, `Verdict: ${verdict}`),
    printable(report.summary),
    '',
  ]
  return lines.join('\n')
}

function metricRow({ name, base, candidate, difference, interval, p, samples, goodIs, verdict }: Metric): string[] {
  const percent = goodIs === 'higher'
  const show = (value: number) => (percent ? `${(value * 100).toFixed(1)} %` : value.toFixed(4))
  const signed = (value: number) => `${value > 0 ? '+' : ''}${show(value)}`
  return [
    TITLES[name],
    show(base),
    show(candidate),
    signed(difference),
    `${signed(interval.low)} to ${signed(interval.high)}`,
    p < 0.001 ? '<0.001' : p.toFixed(3),
    String(samples),
    verdict,
  ]
}
