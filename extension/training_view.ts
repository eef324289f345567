/** The view of the training: jobs with their live loss, datasets, and the adapters that came of it. */
import * as vscode from 'vscode'
import type { TrainingJobOut } from '../server/wire/training.ts'
import type { Adapter, Api, Dataset } from './api.ts'
import type { Events } from './events.ts'
import type { Hub } from './hub.ts'
import { formatBytes } from './text.ts'
import { hasEnded, tellProgress, tellStatus } from './train.ts'

type Group = { kind: 'group'; id: 'jobs' | 'datasets' | 'adapters' }
export type JobNode = { kind: 'job'; id: string; job: TrainingJobOut }
export type DatasetNode = { kind: 'dataset'; id: string; dataset: Dataset }
export type AdapterNode = { kind: 'adapter'; id: string; adapter: Adapter }
export type VersionNode = {
  kind: 'version'
  id: string
  adapter: Adapter
  version: number
  bytes: number
  atMs: number
}
type TrainingNode = Group | JobNode | DatasetNode | AdapterNode | VersionNode

const JOB_ICONS: { [status in TrainingJobOut['status']]: string } = {
  validating_files: 'loading~spin',
  queued: 'clock',
  running: 'loading~spin',
  paused: 'debug-pause',
  succeeded: 'pass',
  failed: 'error',
  cancelled: 'circle-slash',
}

export class TrainingView implements vscode.TreeDataProvider<TrainingNode>, vscode.Disposable {
  readonly #deps: { hub: Hub; api: Api; events: Events }
  readonly #changed = new vscode.EventEmitter<TrainingNode | undefined>()
  readonly onDidChangeTreeData = this.#changed.event
  readonly #subscriptions: vscode.Disposable[] = []
  /** Rows of jobs by their id, so that a step of one redraws that row only. */
  readonly #jobs = new Map<string, JobNode>()

  constructor(deps: { hub: Hub; api: Api; events: Events }) {
    this.#deps = deps
    const view = vscode.window.createTreeView('aiHub.training', { treeDataProvider: this })
    this.#subscriptions.push(
      view,
      this.#changed,
      deps.hub.onDidChange(() => this.refresh()),
      deps.events.onEvent(event => {
        if (event.type === 'training.progress') {
          const node = this.#jobs.get(event.id)
          const job = deps.events.jobs.get(event.id)
          if (node === undefined || job === undefined) return
          node.job = job
          this.#changed.fire(node)
        } else if (event.type === 'training.job' || event.type === 'models.changed' || event.type === 'hello') {
          this.refresh()
        }
      }),
    )
  }

  refresh(): void {
    this.#changed.fire(undefined)
  }

  async getChildren(parent?: TrainingNode): Promise<TrainingNode[]> {
    if (this.#deps.hub.state !== 'ready') return []
    try {
      if (parent === undefined) return await this.#groups()
      if (parent.kind === 'adapter') {
        const { adapter } = parent
        return adapter.versions.map(({ id, version, bytes, modified_ms }): VersionNode => {
          return { kind: 'version', id, adapter, version, bytes, atMs: modified_ms }
        })
      }
      return parent.kind === 'group' ? await this.#rows(parent.id) : []
    } catch {
      // The hub went away meanwhile; its state brings the view up to date.
      return []
    }
  }

  /** None while there is nothing at all: the welcome text of the view says how to begin. */
  async #groups(): Promise<Group[]> {
    const { api } = this.#deps
    const all = await Promise.all([api.jobs(), api.datasets(), api.adapters()])
    if (all.every(list => list.length === 0)) return []
    return (['jobs', 'datasets', 'adapters'] as const).map(id => ({ kind: 'group', id }))
  }

  async #rows(group: Group['id']): Promise<TrainingNode[]> {
    const { api, events } = this.#deps
    if (group === 'datasets') {
      return (await api.datasets()).map((dataset): DatasetNode => ({ kind: 'dataset', id: dataset.name, dataset }))
    }
    if (group === 'adapters') {
      return (await api.adapters()).map((adapter): AdapterNode => ({ kind: 'adapter', id: adapter.id, adapter }))
    }
    return (await api.jobs()).map(job => {
      events.jobs.set(job.id, job)
      const node: JobNode = { kind: 'job', id: job.id, job }
      this.#jobs.set(job.id, node)
      return node
    })
  }

  getTreeItem(node: TrainingNode): vscode.TreeItem {
    const { None, Collapsed, Expanded } = vscode.TreeItemCollapsibleState
    switch (node.kind) {
      case 'group': {
        const titles = {
          jobs: vscode.l10n.t('Jobs'),
          datasets: vscode.l10n.t('Datasets'),
          adapters: vscode.l10n.t('Adapters'),
        }
        const item = new vscode.TreeItem(titles[node.id], Expanded)
        item.id = node.id
        item.contextValue = `group.${node.id}`
        return item
      }
      case 'job': {
        const { job } = node
        const item = new vscode.TreeItem(`${job.model}:${job.name}`, None)
        item.id = `job ${job.id}`
        item.iconPath = new vscode.ThemeIcon(JOB_ICONS[job.status])
        item.description = hasEnded(job) ? tellEnd(job) : tellShortly(job)
        item.tooltip = new vscode.MarkdownString(tellJob(job))
        item.contextValue = `job.${job.status}`
        return item
      }
      case 'dataset': {
        const { counts, version, name } = node.dataset
        const item = new vscode.TreeItem(name, None)
        item.id = `dataset ${name}`
        item.iconPath = new vscode.ThemeIcon('database')
        item.description = vscode.l10n.t(
          '{0} samples, version {1}',
          counts.train + counts.validation + counts.test,
          version,
        )
        item.contextValue = 'dataset'
        item.command = { command: 'aiHub.showReport', title: '', arguments: [node] }
        return item
      }
      case 'adapter': {
        const { adapter } = node
        const item = new vscode.TreeItem(adapter.name, adapter.versions.length > 0 ? Collapsed : None)
        item.id = `adapter ${adapter.id}`
        item.iconPath = new vscode.ThemeIcon(adapter.status === 'broken' ? 'warning' : 'layers')
        item.description = [adapter.base, `v${adapter.version}`, tellMeasure(adapter)].filter(Boolean).join(' · ')
        item.tooltip = new vscode.MarkdownString(tellAdapter(adapter))
        item.contextValue = `adapter.${adapter.status}`
        return item
      }
      case 'version': {
        const item = new vscode.TreeItem(`v${node.version}`, None)
        item.id = `version ${node.id}`
        item.iconPath = new vscode.ThemeIcon('history')
        item.description = `${new Date(node.atMs).toLocaleString()} · ${formatBytes(node.bytes)}`
        item.contextValue = 'version'
        return item
      }
    }
  }

  dispose(): void {
    for (const each of this.#subscriptions) each.dispose()
  }
}

/** What fits into a row: the loss first, since rows are cut at the end. */
function tellShortly(job: TrainingJobOut): string {
  const { progress, stage } = job
  if (progress === undefined || stage !== 'training') return tellProgress(job)
  return vscode.l10n.t('loss {0}, {1}/{2}', progress.loss.toFixed(3), progress.step, progress.total_steps)
}

function tellEnd(job: TrainingJobOut): string {
  const loss = job.best_validation_loss ?? job.progress?.validation_loss ?? job.progress?.loss
  return job.status === 'succeeded' && loss !== undefined
    ? vscode.l10n.t('done, loss {0}', loss.toFixed(3))
    : tellStatus(job.status)
}

function tellJob(job: TrainingJobOut): string {
  const lines = [
    `**${job.model}:${job.name}**`,
    `${tellStatus(job.status)}, ${new Date(job.created_at * 1000).toLocaleString()}`,
  ]
  if (job.error !== null) lines.push(job.error.message)
  if (job.progress !== undefined) {
    const { loss, validation_loss, tokens_per_second, memory_bytes, device_bytes } = job.progress
    lines.push(vscode.l10n.t('loss {0}', loss.toFixed(4)))
    if (validation_loss !== undefined) lines.push(vscode.l10n.t('validation loss {0}', validation_loss.toFixed(4)))
    lines.push(
      vscode.l10n.t(
        '{0} tokens/s, {1} in memory',
        Math.round(tokens_per_second),
        formatBytes(memory_bytes + device_bytes),
      ),
    )
  }
  return lines.join('\n\n')
}

/** What was measured when it was made, or in the last comparison with its base. */
function tellMeasure({ card: { evaluation = {} } }: Adapter): string | undefined {
  const { validation_loss, verdict } = evaluation
  if (typeof verdict === 'string') return verdict
  return typeof validation_loss === 'number' ? vscode.l10n.t('loss {0}', validation_loss.toFixed(3)) : undefined
}

function tellAdapter({ id, reason, bytes, facts, card, modified_ms }: Adapter): string {
  const lines = [`**${id}**`]
  if (reason !== undefined) lines.push(reason)
  if (card.description !== undefined) lines.push(card.description)
  lines.push(`${new Date(modified_ms).toLocaleString()}, ${formatBytes(bytes)}`)
  if (facts !== undefined) lines.push(vscode.l10n.t('rank {0}, {1}', facts.rank, facts.targets.join(' ')))
  if (card.dataset !== undefined) lines.push(vscode.l10n.t('trained on {0}', card.dataset.name))
  return lines.join('\n\n')
}
