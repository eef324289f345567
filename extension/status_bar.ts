/** The item of the status bar: the model in use, how far it is loaded, how fast it writes; and the menu behind it. */
import * as vscode from 'vscode'
import type { ModelBrief } from '../server/wire/events.ts'
import type { Events } from './events.ts'
import type { Hub } from './hub.ts'
import { modelInUse } from './model_in_use.ts'
import { changeSetting, readSettings } from './settings.ts'
import type { Snooze } from './snooze.ts'
import { formatBytes, formatPercent } from './text.ts'

const SNOOZE_MINUTES = [5, 15, 60]

type Deps = { hub: Hub; events: Events; snooze: Snooze }

export function createStatusBar({ hub, events, snooze }: Deps): vscode.Disposable {
  const item = vscode.window.createStatusBarItem('aiHub.status', vscode.StatusBarAlignment.Right, 100)
  item.name = 'AI Backend Hub'
  item.command = 'aiHub.menu'
  const show = (): void => {
    const { text, tooltip, isProblem } = describe({ hub, events, snooze })
    item.text = text
    item.tooltip = tooltip
    item.accessibilityInformation = { label: `AI Backend Hub: ${tooltip.value}` }
    item.backgroundColor = isProblem ? new vscode.ThemeColor('statusBarItem.warningBackground') : undefined
  }
  show()
  item.show()
  return vscode.Disposable.from(
    item,
    hub.onDidChange(show),
    events.onEvent(show),
    snooze.onDidChange(show),
    vscode.window.onDidChangeActiveTextEditor(show),
    vscode.workspace.onDidChangeConfiguration(change => {
      if (change.affectsConfiguration('aiHub')) show()
    }),
  )
}

function describe({ hub, events, snooze }: Deps): {
  text: string
  tooltip: vscode.MarkdownString
  isProblem?: boolean
} {
  const plain = (text: string, tooltip: string, isProblem = false) => {
    return { text, tooltip: new vscode.MarkdownString(tooltip), isProblem }
  }
  if (hub.state === 'starting') return plain('$(loading~spin) AI Hub', vscode.l10n.t('The hub is starting.'))
  if (hub.state === 'failed') return plain('$(warning) AI Hub', vscode.l10n.t('The hub could not be started.'), true)
  if (hub.state === 'stopped') return plain('$(debug-disconnect) AI Hub', vscode.l10n.t('The hub is not running.'))
  const { completion } = readSettings()
  const model = modelInUse(events.models, completion.model)
  if (model === undefined) {
    return completion.model === ''
      ? plain('$(warning) AI Hub', vscode.l10n.t('There is no model yet.'), true)
      : plain('$(warning) AI Hub', vscode.l10n.t('The model {0} is not there.', completion.model), true)
  }
  const tooltip = new vscode.MarkdownString(tellModel(model, events))
  if (model.state === 'loading') {
    return { text: `$(loading~spin) ${model.id} ${formatPercent(model.progress ?? 0)}`, tooltip }
  }
  if (model.state === 'failed') return { text: `$(error) ${model.id}`, tooltip, isProblem: true }
  if (snooze.until !== undefined) {
    const time = new Date(snooze.until).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' })
    return plain(`$(bell-slash) ${model.id}`, vscode.l10n.t('Suggestions are held back until {0}.', time))
  }
  const language = vscode.window.activeTextEditor?.document.languageId
  if (!completion.enabled || (language !== undefined && completion.disabledLanguages.includes(language))) {
    return plain(`$(circle-slash) ${model.id}`, vscode.l10n.t('Suggestions are off here.'))
  }
  const speed = events.tokensPerSecond
  const rate =
    speed === undefined ? '' : ` ${vscode.l10n.t('{0} tok/s', speed < 10 ? speed.toFixed(1) : Math.round(speed))}`
  return { text: `$(sparkle) ${model.id}${rate}`, tooltip }
}

function tellModel(model: ModelBrief, events: Events): string {
  const load = events.load?.models.find(each => each.id === model.id)
  const lines = [`**${model.id}**`, `${model.state}, ${formatBytes(model.bytes)}`]
  if (model.error !== undefined) lines.push(model.error)
  if (load !== undefined) {
    lines.push(vscode.l10n.t('{0} in memory', formatBytes(load.memory_bytes + load.device_bytes)))
    lines.push(vscode.l10n.t('{0} of {1} tokens of context in use', load.kv_used_tokens, load.kv_total_tokens))
  }
  return lines.join('\n\n')
}

/** The quick pick behind the item: what one wants to change while writing comes first. */
export async function showMenu({ hub, events, snooze }: Deps): Promise<void> {
  type Row = vscode.QuickPickItem & { run?: () => unknown }
  const { completion } = readSettings()
  const language = vscode.window.activeTextEditor?.document.languageId
  const command = (name: string) => () => vscode.commands.executeCommand(name)
  const rows: Row[] = []
  const separator = (label: string): void => void rows.push({ label, kind: vscode.QuickPickItemKind.Separator })

  if (hub.state !== 'ready') {
    rows.push({ label: `$(play) ${vscode.l10n.t('Start the hub')}`, run: command('aiHub.startHub') })
    rows.push({ label: `$(pulse) ${vscode.l10n.t('Run doctor')}`, run: command('aiHub.doctor') })
  } else if (events.models.length === 0) {
    rows.push({ label: `$(cloud-download) ${vscode.l10n.t('Get a model…')}`, run: command('aiHub.pullModel') })
    rows.push({
      label: `$(folder-opened) ${vscode.l10n.t('Open the models folder')}`,
      run: command('aiHub.openModels'),
    })
  }
  separator(vscode.l10n.t('Model'))
  rows.push({ label: `$(arrow-swap) ${vscode.l10n.t('Switch model…')}`, run: command('aiHub.switchModel') })
  rows.push({ label: `$(list-tree) ${vscode.l10n.t('Show all models')}`, run: command('aiHub.models.focus') })
  rows.push({
    label: `$(mortar-board) ${vscode.l10n.t('Train on this workspace…')}`,
    run: command('aiHub.trainWorkspace'),
  })
  separator(vscode.l10n.t('Suggestions'))
  rows.push({
    label: completion.enabled
      ? `$(circle-slash) ${vscode.l10n.t('Switch off everywhere')}`
      : `$(sparkle) ${vscode.l10n.t('Switch on')}`,
    run: command('aiHub.toggleCompletion'),
  })
  if (language !== undefined && completion.enabled) {
    rows.push({
      label: completion.disabledLanguages.includes(language)
        ? `$(sparkle) ${vscode.l10n.t('Switch on for {0}', language)}`
        : `$(circle-slash) ${vscode.l10n.t('Switch off for {0}', language)}`,
      run: command('aiHub.toggleLanguage'),
    })
  }
  if (snooze.until !== undefined) {
    rows.push({ label: `$(bell) ${vscode.l10n.t('Stop snoozing')}`, run: () => snooze.end() })
  } else {
    rows.push({ label: `$(bell-slash) ${vscode.l10n.t('Snooze…')}`, run: command('aiHub.snooze') })
  }
  separator(vscode.l10n.t('More'))
  rows.push({ label: `$(comment-discussion) ${vscode.l10n.t('Open chat')}`, run: command('aiHub.openChat') })
  rows.push({ label: `$(dashboard) ${vscode.l10n.t('Open dashboard')}`, run: command('aiHub.openDashboard') })
  rows.push({ label: `$(checklist) ${vscode.l10n.t('Review changes…')}`, run: command('aiHub.review') })
  rows.push({ label: `$(copy) ${vscode.l10n.t('Copy the OpenAI base URL')}`, run: command('aiHub.copyUrl') })
  rows.push({ label: `$(output) ${vscode.l10n.t('Show logs')}`, run: command('aiHub.showLogs') })
  rows.push({
    label: `$(gear) ${vscode.l10n.t('Settings')}`,
    run: () => vscode.commands.executeCommand('workbench.action.openSettings', '@ext:ai-backend-hub.ai-backend-hub'),
  })
  const chosen = await vscode.window.showQuickPick(rows, { title: 'AI Backend Hub' })
  await chosen?.run?.()
}

export async function toggleLanguage(): Promise<void> {
  const language = vscode.window.activeTextEditor?.document.languageId
  if (language === undefined) return
  const { disabledLanguages } = readSettings().completion
  await changeSetting(
    'completion.disabledLanguages',
    disabledLanguages.includes(language)
      ? disabledLanguages.filter(each => each !== language)
      : [...disabledLanguages, language],
  )
}

export async function chooseSnooze(snooze: Snooze): Promise<void> {
  const rows = SNOOZE_MINUTES.map(minutes => ({ label: vscode.l10n.t('{0} minutes', minutes), minutes }))
  const chosen = await vscode.window.showQuickPick(rows, { title: vscode.l10n.t('Hold suggestions back for') })
  if (chosen !== undefined) snooze.start(chosen.minutes)
}
