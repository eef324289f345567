/** The view of the models: what is there, what is loaded, and loading, unloading and pinning by a click. */
import { existsSync, readFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import * as vscode from 'vscode'
import type { PullOut } from '../server/wire/pull.ts'
import type { ModelStatusOut } from '../server/wire/system.ts'
import type { Api } from './api.ts'
import type { Events } from './events.ts'
import type { Hub } from './hub.ts'
import { suggestingModel } from './model_in_use.ts'
import { type PullNode, pullItem } from './pull.ts'
import { readSettings } from './settings.ts'
import { formatBytes, formatPercent } from './text.ts'

const ICONS: { [state in ModelStatusOut['state']]: [icon: string, colour?: string] } = {
  ready: ['circle-filled', 'charts.green'],
  loading: ['loading~spin'],
  unloading: ['loading~spin'],
  unloaded: ['circle-outline'],
  failed: ['error', 'errorForeground'],
  broken: ['warning', 'list.warningForeground'],
}

type Node = ModelStatusOut | PullNode

export class ModelsView implements vscode.TreeDataProvider<Node>, vscode.Disposable {
  readonly #deps: { hub: Hub; api: Api; events: Events }
  readonly #changed = new vscode.EventEmitter<Node | undefined>()
  readonly onDidChangeTreeData = this.#changed.event
  readonly #subscriptions: vscode.Disposable[] = []
  /** Downloads that have not brought a model, with the rows that show them. */
  readonly #pulls = new Map<string, { pull: PullOut; node: PullNode }>()
  /** Id of the model that suggests code. */
  #suggesting: string | undefined

  constructor(deps: { hub: Hub; api: Api; events: Events }) {
    this.#deps = deps
    const view = vscode.window.createTreeView('aiHub.models', { treeDataProvider: this })
    this.#subscriptions.push(
      view,
      this.#changed,
      deps.hub.onDidChange(() => this.#changed.fire(undefined)),
      vscode.workspace.onDidChangeConfiguration(change => {
        if (change.affectsConfiguration('aiHub')) this.#changed.fire(undefined)
      }),
      deps.events.onEvent(event => {
        const { type } = event
        if (type === 'model.pull' && this.#update(event.pull)) return
        if (type === 'system.load' || type === 'request.end' || type.startsWith('training.')) return
        const { models } = deps.events
        void vscode.commands.executeCommand('setContext', 'aiHub.hasModels', models.length > 0)
        this.#changed.fire(undefined)
      }),
    )
  }

  /** @returns whether a row that stands shows it; else the rows are other ones now */
  #update(pull: PullOut): boolean {
    const known = this.#pulls.get(pull.id)
    if (known === undefined || pull.state === 'done' || pull.state === 'cancelled') return false
    known.pull = pull
    this.#changed.fire(known.node)
    return true
  }

  async getChildren(parent?: Node): Promise<Node[]> {
    if (parent !== undefined || this.#deps.hub.state !== 'ready') return []
    try {
      const [models, pulls] = await Promise.all([this.#deps.api.models(), this.#deps.api.pulls()])
      const open = pulls.filter(({ state }) => state !== 'done')
      const nodes = open.map(pull => this.#pulls.get(pull.id)?.node ?? { pull: pull.id })
      this.#pulls.clear()
      for (const [i, pull] of open.entries()) this.#pulls.set(pull.id, { pull, node: nodes[i]! })
      this.#suggesting = suggestingModel(models, readSettings().completion)
      // Adapters stand in the view of the training.
      const rows = models
        .filter(model => model.parent === undefined)
        .sort((a, b) => Number(b.state === 'ready') - Number(a.state === 'ready') || a.id.localeCompare(b.id))
      return [...nodes, ...rows]
    } catch {
      // The hub went away meanwhile; its state brings the view up to date.
      return []
    }
  }

  getTreeItem(node: Node): vscode.TreeItem {
    if ('pull' in node) {
      const known = this.#pulls.get(node.pull)
      return known === undefined ? new vscode.TreeItem(node.pull) : pullItem(known.pull)
    }
    const model = node
    const item = new vscode.TreeItem(model.id)
    const progress = this.#deps.events.model(model.id)?.progress ?? model.progress
    const [icon, colour] = ICONS[model.state]
    item.id = model.id
    item.iconPath = new vscode.ThemeIcon(icon, colour === undefined ? undefined : new vscode.ThemeColor(colour))
    item.description = [
      model.state === 'loading' && progress !== undefined ? formatPercent(progress) : tellState(model.state),
      model.id === this.#suggesting ? vscode.l10n.t('suggests code') : '',
      model.pin ? vscode.l10n.t('pinned') : '',
      model.facts?.quantization,
      formatBytes(model.worker === undefined ? model.bytes : model.worker.memory_bytes + model.worker.device_bytes),
    ]
      .filter(part => part !== undefined && part !== '')
      .join(' · ')
    item.tooltip = new vscode.MarkdownString(tellModel(model))
    item.contextValue = `model.${model.state}`
    return item
  }

  dispose(): void {
    for (const each of this.#subscriptions) each.dispose()
  }
}

export function tellState(state: ModelStatusOut['state']): string {
  const words: { [state in ModelStatusOut['state']]: string } = {
    ready: vscode.l10n.t('loaded'),
    loading: vscode.l10n.t('loading'),
    unloading: vscode.l10n.t('unloading'),
    unloaded: '',
    failed: vscode.l10n.t('failed'),
    broken: vscode.l10n.t('broken'),
  }
  return words[state]
}

function tellModel({ id, description, folder, facts, worker, error, bytes, toy }: ModelStatusOut): string {
  const lines = [`**${id}**`]
  if (description !== undefined) lines.push(description)
  if (error !== undefined) lines.push(`$(warning) ${error}`)
  if (toy === true) lines.push(vscode.l10n.t('Too small to be of use; it is there so that everything can be tried.'))
  lines.push(`local_models/${folder}, ${formatBytes(bytes)}`)
  if (facts !== undefined) {
    const millions = Math.round(facts.parameters / 1e6)
    lines.push(`${facts.architecture}, ${millions}M, ${facts.quantization}`)
    lines.push(vscode.l10n.t('context of {0} tokens', facts.context_length))
    if (facts.fim) lines.push(vscode.l10n.t('completes code'))
    if (facts.chat_template) lines.push(vscode.l10n.t('answers questions'))
  }
  if (worker !== undefined) {
    lines.push(
      vscode.l10n.t('runs on {0}, {1} of {2} layers on the GPU', worker.device_name, worker.gpu_layers, worker.layers),
    )
  }
  return lines.join('\n\n')
}

/** Writes into the card of a model whether it stays loaded. @throws Error when its file is not where it is expected */
export async function togglePin(hub: Hub, { id, folder }: Pick<ModelStatusOut, 'id' | 'folder'>): Promise<boolean> {
  const base = join(hub.home, 'local_models', folder, id.slice(id.lastIndexOf('/') + 1))
  if (!hub.isLocal || !existsSync(`${base}.gguf`)) {
    throw new Error(vscode.l10n.t('{0} lies in a folder of its own; write "pin": true into its .model.json.', id))
  }
  const path = `${base}.model.json`
  const card: { [name: string]: unknown } = existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')) : {}
  card.pin = card.pin !== true
  await writeFile(path, `${JSON.stringify(card, undefined, 2)}\n`)
  return card.pin === true
}
