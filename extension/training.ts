/** What is done with jobs, datasets and adapters from the view of the training. */
import * as vscode from 'vscode'
import type { EvaluationReport } from '../server/wire/evaluation.ts'
import type { QualityReport } from '../server/wire/quality.ts'
import type { Api } from './api.ts'
import type { MarkdownPages } from './markdown.ts'
import { idOf, type ModelArgument } from './models.ts'
import { changeSetting, readSettings } from './settings.ts'
import { withCancel } from './train.ts'
import type { AdapterNode, DatasetNode, JobNode, VersionNode } from './training_view.ts'

type Deps = { api: Api; pages: MarkdownPages }

export async function changeJob({ api }: Deps, action: 'cancel' | 'pause' | 'resume', node: JobNode): Promise<void> {
  await api.changeJob(node.id, action)
}

export async function showReport({ api, pages }: Deps, node: DatasetNode): Promise<void> {
  await pages.show(node.id, describeReport(node.id, await api.report(node.id)))
}

export async function deleteDataset({ api }: Deps, node: DatasetNode): Promise<void> {
  const message = vscode.l10n.t('Delete the dataset {0} with all its versions?', node.id)
  if (await isSure(message)) await api.deleteDataset(node.id)
}

export async function deleteAdapter({ api }: Deps, node: AdapterNode | VersionNode): Promise<void> {
  const message =
    node.kind === 'version'
      ? vscode.l10n.t('Delete this version of {0}?', node.adapter.id)
      : vscode.l10n.t('Delete the adapter {0} with its older versions?', node.id)
  if (!(await isSure(message))) return
  await api.deleteAdapter(node.id)
  if (node.kind === 'version') return
  // What is gone can be in use no longer: the best model there is takes its place.
  const { completion, chat } = readSettings()
  if (completion.model === node.id) await changeSetting('completion.model', '')
  if (chat.model === node.id) await changeSetting('chat.model', '')
}

/** Makes an older version the current one. */
export async function rollBack({ api }: Deps, node: AdapterNode | VersionNode): Promise<void> {
  const version = node.kind === 'version' ? node.version : node.adapter.versions[0]?.version
  if (version === undefined) {
    void vscode.window.showInformationMessage(vscode.l10n.t('There is no older version.'))
    return
  }
  const adapter = await api.rollback(node.adapter.id, version)
  void vscode.window.showInformationMessage(vscode.l10n.t('{0} is version {1} now.', adapter.id, adapter.version))
}

/** Measures an adapter against its base on samples that neither has seen, and shows what came out. */
export async function compareAdapter({ api, pages }: Deps, given: ModelArgument): Promise<void> {
  const id = idOf(given)
  const adapter = (await api.adapters()).find(each => each.id === id)
  if (adapter === undefined) return
  const dataset = adapter.card.dataset ?? (await pickDataset(api))
  if (dataset === undefined) return
  const report = await withCancel(vscode.l10n.t('Comparing {0} with {1}', adapter.name, adapter.base), async signal => {
    const { version } = dataset
    const request = { base: adapter.base, candidate: adapter.id, dataset: dataset.name }
    let evaluation = await api.evaluate({ ...request, ...(version !== undefined && { version }) })
    const { id: evaluationId } = evaluation
    const cancel = (): void => void api.cancelEvaluation(evaluationId).catch(() => undefined)
    signal.addEventListener('abort', cancel, { once: true })
    while (evaluation.status === 'queued' || evaluation.status === 'running') {
      evaluation = await api.evaluation(evaluationId, signal)
    }
    if (evaluation.error !== null) throw new Error(evaluation.error.message)
    return evaluation.report
  })
  if (report) await pages.show(`${adapter.name} - ${adapter.base}`, describeEvaluation(report))
}

async function pickDataset(api: Api): Promise<{ name: string; version?: number } | undefined> {
  const rows = (await api.datasets()).map(({ name }) => ({ label: name, name }))
  return vscode.window.showQuickPick(rows, { title: vscode.l10n.t('Compare on which dataset?') })
}

async function isSure(message: string): Promise<boolean> {
  const yes = vscode.l10n.t('Delete')
  return (await vscode.window.showWarningMessage(message, { modal: true }, yes)) === yes
}

export function describeEvaluation({ base, candidate, metrics, summary, warnings, samples }: EvaluationReport): string {
  const t = vscode.l10n.t
  const rows = metrics.map(({ meaning, base: before, candidate: after, difference, interval, verdict }) => {
    const range = `${difference.toFixed(3)} (${interval.low.toFixed(3)} … ${interval.high.toFixed(3)})`
    return [meaning, before.toFixed(3), after.toFixed(3), range, verdict]
  })
  return [
    `# ${candidate.id}`,
    summary,
    `${base.id} → ${candidate.id}, ${t('{0} samples', samples.taken)}`,
    table([t('Measure'), t('Base'), t('Adapter'), t('Difference'), t('Verdict')], rows),
    ...warnings.map(warning => `- ${warning}`),
  ].join('\n\n')
}

export function describeReport(name: string, report: QualityReport): string {
  const t = vscode.l10n.t
  const { samples, kept, removed, changed, tokens, languages, findings } = report
  const found = findings.filter(finding => finding.count > 0)
  const facts = [
    [t('Samples'), t('{0} read, {1} kept, {2} removed, {3} mended', samples, kept, removed, changed)],
    [t('Tokens'), t('{0}; half of the samples have up to {1}, the longest {2}', tokens.total, tokens.p50, tokens.most)],
    [t('Languages'), languages.map(({ language, share }) => `${language} ${Math.round(share * 100)}%`).join(', ')],
  ]
  return [
    `# ${name}`,
    table(['', ''], facts),
    ...(found.length === 0 ? [t('Nothing is wrong with it.')] : []),
    ...found.map(({ title, severity, count, removed, changed, examples }) =>
      [
        `## ${title}`,
        t('{0}: {1} found, {2} removed, {3} mended', severity, count, removed, changed),
        ...examples.slice(0, 3).map(({ excerpt, note }) => quote(excerpt, note)),
      ].join('\n\n'),
    ),
  ].join('\n\n')
}

function quote(excerpt: string, note: string | undefined): string {
  return `> ${excerpt.replaceAll('\n', ' ')}${note === undefined ? '' : `  \n> *${note}*`}`
}

function table(heading: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (values: readonly string[]): string =>
    `| ${values.map(value => value.replaceAll('|', '\\|')).join(' | ')} |`
  return [heading, heading.map(() => '---'), ...rows].map(line).join('\n')
}
