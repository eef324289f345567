/** Getting a model: a list of what suits this machine, any other by name, the progress with a way to stop it, and "Use It" at the end. */
import * as vscode from 'vscode'
import type { PullOut, PullPurpose, Suggestion } from '../server/wire/pull.ts'
import type { Api } from './api.ts'
import { formatBytes, formatDuration, formatPercent } from './text.ts'

type Deps = { api: Api }
type Row = vscode.QuickPickItem & { model?: string }

/** A row of the view. */
export type PullNode = { pull: string }

const LOOK_MS = 500

/** @param given what to get, where it is known already */
export async function pullModel(deps: Deps, given?: string): Promise<void> {
  const model = typeof given === 'string' ? given : await chooseModel(deps)
  if (model !== undefined) await follow(deps, model, signal => deps.api.pull({ model }, signal))
}

export async function resumePull(deps: Deps, { pull: id }: PullNode): Promise<void> {
  const { name, model, folder } = await deps.api.pulled(id)
  await follow(deps, name, signal => deps.api.pull({ model, folder }, signal))
}

export async function stopPull({ api }: Deps, { pull: id }: PullNode, discard: boolean): Promise<void> {
  await api.stopPull(id, discard)
}

/** A list that also takes what is typed. */
async function chooseModel({ api }: Deps): Promise<string | undefined> {
  const pick = vscode.window.createQuickPick<Row>()
  pick.title = vscode.l10n.t('Get a model')
  pick.placeholder = vscode.l10n.t(
    'A model of the list, or OWNER/REPO:QUANT of Hugging Face, or the address of a .gguf',
  )
  pick.matchOnDescription = true
  pick.busy = true
  let suggested: Row[] = []
  const show = (): void => {
    const typed = pick.value.trim()
    pick.items = typed.includes('/')
      ? [{ label: `$(cloud-download) ${typed}`, model: typed, alwaysShow: true }, ...suggested]
      : suggested
  }
  const chosen = new Promise<string | undefined>(resolve => {
    pick.onDidAccept(() => {
      resolve(pick.selectedItems[0]?.model)
      pick.hide()
    })
    pick.onDidHide(() => resolve(undefined))
  })
  pick.onDidChangeValue(show)
  pick.show()
  try {
    suggested = (await api.suggested()).filter(({ installed }) => !installed).map(toRow)
    show()
    pick.busy = false
    return await chosen
  } finally {
    pick.dispose()
  }
}

function toRow({ name, model, bytes, license, purposes, best_for: best, memory }: Suggestion): Row {
  const fits = {
    device: vscode.l10n.t('fits the graphics card'),
    memory: vscode.l10n.t('fits the memory'),
    shared: vscode.l10n.t('fits the graphics card in part'),
    no: '',
  }
  const bestFor = best.length === 0 ? [] : [vscode.l10n.t('Best here for: {0}', tellPurposes(best))]
  return {
    label: best.length > 0 ? `$(star-full) ${name}` : name,
    description: [tellPurposes(purposes), `~${formatBytes(bytes)}`, license].join(' · '),
    detail: [...bestFor, `${fits[memory.fit]} (~${formatBytes(memory.need_bytes)})`].join(' · '),
    model,
  }
}

function tellPurposes(purposes: readonly PullPurpose[]): string {
  const words: { [purpose in PullPurpose]: string } = {
    chat: vscode.l10n.t('chat'),
    code: vscode.l10n.t('questions about code'),
    completion: vscode.l10n.t('suggestions while typing'),
    embedding: vscode.l10n.t('finding text by meaning'),
  }
  return purposes.map(purpose => words[purpose]).join(', ')
}

/** Begins a download and shows it until it has ended. Stopping it keeps what came. */
async function follow({ api }: Deps, what: string, begin: (signal: AbortSignal) => Promise<PullOut>): Promise<void> {
  const title = vscode.l10n.t('Getting {0}', what)
  const options = { location: vscode.ProgressLocation.Notification, title, cancellable: true }
  const last = await vscode.window.withProgress(options, async (progress, token) => {
    const stop = new AbortController()
    token.onCancellationRequested(() => stop.abort())
    let pull = await begin(stop.signal).catch((thrown: unknown) => {
      if (stop.signal.aborted) return undefined
      throw thrown
    })
    let shown = 0
    while (pull !== undefined && isUnderWay(pull)) {
      if (token.isCancellationRequested) return api.stopPull(pull.id, false)
      const { bytes, total_bytes: total } = pull
      const percent = total === undefined ? 0 : (bytes / total) * 100
      progress.report({ message: tellPull(pull), increment: Math.max(0, percent - shown) })
      shown = Math.max(shown, percent)
      await new Promise(resolve => setTimeout(resolve, LOOK_MS))
      pull = await api.pulled(pull.id)
    }
    return pull
  })
  if (last === undefined) return
  if (last.state === 'failed') throw new Error(last.error ?? vscode.l10n.t('failed'))
  if (last.state !== 'done') return
  const use = vscode.l10n.t('Use It')
  const message = vscode.l10n.t('{0} is here.', last.name)
  if ((await vscode.window.showInformationMessage(message, use)) === use) {
    await vscode.commands.executeCommand('aiHub.useModel', last.name)
  }
}

export const isUnderWay = ({ state }: PullOut): boolean => ['queued', 'running', 'checking'].includes(state)

/** `1.2 GiB of 2.3 GiB · 11 MiB/s · 2 min` */
export function tellPull(pull: PullOut): string {
  const { state, bytes, total_bytes: total, bytes_per_second: rate, seconds_left: left, note } = pull
  const words: { [state in PullOut['state']]: string } = {
    queued: vscode.l10n.t('waits for other downloads'),
    running: '',
    checking: vscode.l10n.t('is being checked'),
    done: '',
    failed: vscode.l10n.t('failed'),
    cancelled: vscode.l10n.t('stopped'),
  }
  const size =
    total === undefined ? formatBytes(bytes) : vscode.l10n.t('{0} of {1}', formatBytes(bytes), formatBytes(total))
  const parts = [words[state], size]
  if (rate !== undefined && rate > 0) parts.push(`${formatBytes(rate)}/s`)
  if (left !== undefined) parts.push(formatDuration(left))
  if (note !== undefined) parts.push(note)
  return parts.filter(part => part !== '').join(' · ')
}

/** How a download stands in the view of the models. */
export function pullItem(pull: PullOut): vscode.TreeItem {
  const item = new vscode.TreeItem(pull.name)
  const percent = pull.total_bytes === undefined ? '' : `${formatPercent(pull.bytes / pull.total_bytes)} · `
  const runs = isUnderWay(pull)
  item.id = pull.id
  item.iconPath =
    pull.state === 'failed'
      ? new vscode.ThemeIcon('warning', new vscode.ThemeColor('list.warningForeground'))
      : new vscode.ThemeIcon(runs ? 'cloud-download' : 'debug-pause')
  item.description = `${runs ? percent : ''}${tellPull(pull)}`
  item.tooltip = new vscode.MarkdownString([`**${pull.name}**`, pull.source, pull.error ?? ''].join('\n\n').trimEnd())
  item.contextValue = runs ? 'pull.running' : 'pull.stopped'
  return item
}
