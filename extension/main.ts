/** What the editor starts: puts the parts of the extension together and registers every command, on one page. */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import * as vscode from 'vscode'
import { createApi } from './api.ts'
import {
  ACTIONS,
  ask,
  branchName,
  commitMessage,
  explainTerminal,
  rename,
  review,
  rewrite,
  runAction,
} from './assist.ts'
import { registerChatProvider } from './chat_provider.ts'
import { Client } from './client.ts'
import { Events } from './events.ts'
import { getCuda, lookAtGpu } from './gpu.ts'
import { Hub, NoHub } from './hub.ts'
import { createKey, deleteKey } from './keys.ts'
import { MarkdownPages } from './markdown.ts'
import {
  copyUrl,
  loadModel,
  type ModelArgument,
  pinModel,
  switchModel,
  tellNoModel,
  unloadModel,
  useModel,
  useTrained,
} from './models.ts'
import { ModelsView } from './models_view.ts'
import { PanelEditor } from './panel_editor.ts'
import { Panels } from './panels.ts'
import { Problems } from './problems.ts'
import { Proposals } from './proposals.ts'
import { type PullNode, pullModel, resumePull, stopPull } from './pull.ts'
import { changeSetting, readSettings } from './settings.ts'
import { Snooze } from './snooze.ts'
import { chooseSnooze, createStatusBar, showMenu, toggleLanguage } from './status_bar.ts'
import { trainOnChats, trainOnDataset, trainOnFile, trainOnWorkspace, withCancel } from './train.ts'
import { changeJob, compareAdapter, deleteAdapter, deleteDataset, rollBack, showReport } from './training.ts'
import { type AdapterNode, type DatasetNode, type JobNode, TrainingView, type VersionNode } from './training_view.ts'

/** For tests and other extensions. */
export type ExtensionApi = {
  /** Of the hub in use, `http://127.0.0.1:8000`. */
  url(): string | undefined
  /** When the language server answered for the first time. */
  ready: Promise<void>
}

/** A hub that has just started is still reading its folders. */
const SETTLE_MS = 5000

let client: Client | undefined
let panels: Panels | undefined

export function activate(context: vscode.ExtensionContext): ExtensionApi {
  const log = vscode.window.createOutputChannel('AI Backend Hub', { log: true })
  const hub = new Hub(context, log)
  const events = new Events(hub, log)
  const api = createApi(() => hub.ensure())
  const snooze = new Snooze()
  const pages = new MarkdownPages()
  const proposals = new Proposals()
  const editor = new PanelEditor(proposals)
  const shown = new Panels({ context, hub, api, events, log, editor })
  panels = shown
  const problems = new Problems(events)
  client = new Client({
    hub,
    log,
    isSnoozed: () => snooze.until !== undefined,
    problem: problem => problems.tell(problem),
  })
  const training = new TrainingView({ hub, api, events })
  const models = { hub, api, problems }
  const trainer = { hub, api, events }
  const assistant = { client, pages }
  const trained = { api, pages }
  context.subscriptions.push(
    log,
    hub,
    events,
    snooze,
    pages,
    problems,
    proposals,
    editor,
    training,
    new ModelsView({ hub, api, events }),
    createStatusBar({ hub, events, snooze }),
    registerChatProvider({ hub, api, events }),
  )

  const commands: { [id: string]: (...given: never[]) => unknown } = {
    'aiHub.menu': () => showMenu({ hub, events, snooze }),
    'aiHub.startHub': (anyPort?: boolean) => hub.start({ anyPort: anyPort === true }),
    'aiHub.restartHub': () => hub.restart(),
    'aiHub.setToken': () => askForToken(hub),
    'aiHub.getCuda': () => getCuda(hub),
    'aiHub.doctor': () => showDoctor(hub, pages),
    'aiHub.showLogs': () => showLogs(hub, log),
    'aiHub.copyUrl': () => copyUrl(hub),
    'aiHub.createKey': () => createKey(models),
    'aiHub.deleteKey': () => deleteKey(models),
    'aiHub.openChat': () => shown.open('chat'),
    'aiHub.openChatInBrowser': async () => vscode.env.openExternal(vscode.Uri.parse(`${(await hub.ensure()).url}/`)),
    'aiHub.openDashboard': (route?: string) => shown.open('dashboard', typeof route === 'string' ? route : undefined),
    'aiHub.applyProposal': (uri?: vscode.Uri) => proposals.apply(uri),
    'aiHub.discardProposal': (uri?: vscode.Uri) => proposals.discard(uri),
    'aiHub.openDocs': async () => vscode.env.openExternal(vscode.Uri.parse(`${(await hub.ensure()).url}/docs`)),
    'aiHub.openModels': () => openModels(hub),
    'aiHub.walkthrough': () =>
      vscode.commands.executeCommand(
        'workbench.action.openWalkthrough',
        `${context.extension.id}#firstTenMinutes`,
        false,
      ),

    'aiHub.toggleCompletion': () => changeSetting('completion.enabled', !readSettings().completion.enabled),
    'aiHub.toggleLanguage': () => toggleLanguage(),
    'aiHub.snooze': () => chooseSnooze(snooze),

    'aiHub.loadModel': (given: ModelArgument) => loadModel(models, given),
    'aiHub.unloadModel': (given: ModelArgument) => unloadModel(models, given),
    'aiHub.pinModel': (given: ModelArgument) => pinModel(models, given),
    'aiHub.switchModel': (given: ModelArgument) => switchModel(models, given),
    'aiHub.useModel': (given: ModelArgument) => useModel(models, given),
    'aiHub.pullModel': (given?: string) => pullModel({ api }, given),
    'aiHub.cancelPull': (node: PullNode) => stopPull({ api }, node, false),
    'aiHub.resumePull': (node: PullNode) => resumePull({ api }, node),
    'aiHub.discardPull': (node: PullNode) => stopPull({ api }, node, true),
    // Of the notification that a training ends with.
    'aiHub.useTrained': (id: string) => useTrained(models, id),

    'aiHub.trainWorkspace': () => trainOnWorkspace(trainer),
    'aiHub.trainChats': () => trainOnChats(trainer),
    'aiHub.trainFile': (file?: vscode.Uri) => trainOnFile(trainer, file),
    'aiHub.trainDataset': (given: ModelArgument) => trainOnDataset(trainer, given),
    'aiHub.cancelJob': (job: JobNode) => changeJob(trained, 'cancel', job),
    'aiHub.pauseJob': (job: JobNode) => changeJob(trained, 'pause', job),
    'aiHub.resumeJob': (job: JobNode) => changeJob(trained, 'resume', job),
    'aiHub.showReport': (dataset: DatasetNode) => showReport(trained, dataset),
    'aiHub.deleteDataset': (dataset: DatasetNode) => deleteDataset(trained, dataset).finally(() => training.refresh()),
    'aiHub.compareAdapter': (given: ModelArgument) => compareAdapter(trained, given),
    'aiHub.rollBackAdapter': (node: AdapterNode | VersionNode) => rollBack(trained, node),
    'aiHub.deleteAdapter': (node: AdapterNode | VersionNode) => deleteAdapter(trained, node),
    'aiHub.refresh': () => training.refresh(),

    'aiHub.review': (scope?: 'selection' | 'file' | 'staged' | 'branch') => review(assistant, scope),
    'aiHub.commitMessage': (source?: vscode.SourceControl) => commitMessage(assistant, source),
    'aiHub.branchName': () => branchName(assistant),
    'aiHub.explainTerminal': () => explainTerminal(assistant),
    'aiHub.ask': () => ask(assistant),
    'aiHub.askInChat': async () => {
      const quote = editor.quote()
      if (quote !== undefined) await shown.draft(quote)
    },
    ...Object.fromEntries(Object.entries(ACTIONS).map(([id, kind]) => [id, () => runAction(kind)])),

    // The server asks for these.
    'aiHub.showMarkdown': (title: string, markdown: string) => pages.show(title, markdown),
    'aiHub.rewrite': (uri: string, range: unknown) => rewrite(assistant, uri, range),
    'aiHub.rename': rename,
  }
  for (const [id, run] of Object.entries(commands)) {
    context.subscriptions.push(
      vscode.commands.registerCommand(id, guarded(log, run as (...given: unknown[]) => unknown)),
    )
  }

  context.subscriptions.push(
    vscode.workspace.onDidChangeConfiguration(change => {
      if (change.affectsConfiguration('aiHub.hub')) void offerReload()
    }),
  )
  const connected = client
  const ready = new Promise<void>(resolve => {
    const listening = connected.onConnected(() => {
      listening.dispose()
      resolve()
      void lookAtGpu({ hub, api }, context.globalState).catch(thrown => log.debug('the card', String(thrown)))
      setTimeout(() => {
        if (hub.state === 'ready' && events.models.length === 0) void tellNoModel(hub)
      }, SETTLE_MS)
    })
  })
  // The editor must not wait for the hub.
  void client.connect()
  return { url: () => hub.address?.url, ready }
}

export async function deactivate(): Promise<void> {
  await Promise.all([client?.dispose(), panels?.dispose()])
}

/** A command that fails says why. */
function guarded(
  log: vscode.LogOutputChannel,
  run: (...given: unknown[]) => unknown,
): (...given: unknown[]) => unknown {
  return async (...given) => {
    try {
      return await run(...given)
    } catch (thrown) {
      const message = thrown instanceof Error ? thrown.message : String(thrown)
      log.error(message)
      // Of a missing hub the user was told already, with what can be done about it.
      if (!(thrown instanceof NoHub)) void vscode.window.showErrorMessage(message)
      return undefined
    }
  }
}

async function askForToken(hub: Hub): Promise<void> {
  const token = await vscode.window.showInputBox({
    title: vscode.l10n.t('API key of the hub'),
    prompt: vscode.l10n.t(
      'Of the role admin: "ai-hub keys create" makes it where the hub runs. The editor keeps it in its secret storage.',
    ),
    password: true,
  })
  if (token) await hub.setToken(token.trim())
}

async function showDoctor(hub: Hub, pages: MarkdownPages): Promise<void> {
  const text = await withCancel(vscode.l10n.t('The doctor looks around'), signal => hub.doctor(signal))
  if (text !== undefined) await pages.show('Doctor', `\`\`\`\n${text.trimEnd()}\n\`\`\``)
}

async function showLogs(hub: Hub, log: vscode.LogOutputChannel): Promise<void> {
  log.show(true)
  if (!hub.isLocal) return
  const file = vscode.Uri.file(join(hub.home, 'logs', 'hub.log'))
  try {
    await vscode.window.showTextDocument(file, { preview: true })
  } catch {
    // No hub has run in this home yet; the channel says why.
  }
}

async function openModels(hub: Hub): Promise<void> {
  const folder = join(hub.home, 'local_models')
  mkdirSync(folder, { recursive: true })
  await vscode.commands.executeCommand('revealFileInOS', vscode.Uri.file(folder))
}

async function offerReload(): Promise<void> {
  const reload = vscode.l10n.t('Reload Window')
  const message = vscode.l10n.t('The hub of the settings is used after a reload of the window.')
  if ((await vscode.window.showInformationMessage(message, reload)) === reload) {
    await vscode.commands.executeCommand('workbench.action.reloadWindow')
  }
}
