/** Training from the palette: what on, which model, the plan; then in the background, and at the end what to do with it. */
import { openAsBlob } from 'node:fs'
import { basename } from 'node:path'
import * as vscode from 'vscode'
import type { TrainingJobOut } from '../server/wire/training.ts'
import type { Api, Plan, TrainingRequest } from './api.ts'
import type { Events } from './events.ts'
import type { Hub } from './hub.ts'
import { runCommand } from './launch.ts'
import { idOf, type ModelArgument, pickModel } from './models.ts'
import { planLines } from './plan.ts'
import { formatDuration, toName } from './text.ts'

type Deps = { hub: Hub; api: Api; events: Events }
/** Name of the dataset and of the adapter. */
const CHATS = 'chats'

/** The data of a run, made when the model is known. */
type Data = Pick<TrainingRequest, 'dataset' | 'training_file'> & { name: string }

/** Makes a dataset of the files of the workspace, and trains on it. */
export async function trainOnWorkspace(deps: Deps): Promise<void> {
  const folder = await pickFolder()
  if (folder === undefined) return
  if (!deps.hub.isLocal) throw new Error(vscode.l10n.t('The hub is on another machine, which cannot read this folder.'))
  const name = toName(folder.name)
  await train(deps, async signal => {
    const args = ['datasets', 'import', name, folder.uri.fsPath, '--json']
    await runCommand(deps.hub.program(), args, signal)
    return { dataset: name, name }
  })
}

export async function trainOnFile(deps: Deps, given?: vscode.Uri): Promise<void> {
  const chosen = given ?? (await pickFile())
  if (chosen === undefined) return
  const name = toName(basename(chosen.fsPath).replace(/\.[^.]*$/, ''))
  let uploaded: string | undefined
  try {
    await train(deps, async signal => {
      uploaded = await deps.api.upload(await openAsBlob(chosen.fsPath), basename(chosen.fsPath), signal)
      return { training_file: uploaded, name }
    })
  } finally {
    // What was read of it is a dataset by now; a job that has not ended keeps it.
    if (uploaded !== undefined) await deps.api.deleteFile(uploaded).catch(() => undefined)
  }
}

export async function trainOnDataset(deps: Deps, given: ModelArgument): Promise<void> {
  const name = idOf(given)
  if (name !== undefined) return train(deps, async () => ({ dataset: name, name }))
  const datasets = await deps.api.datasets()
  const rows = datasets.map(dataset => ({
    label: dataset.name,
    description: vscode.l10n.t('{0} samples', dataset.counts.train),
  }))
  const chosen = await vscode.window.showQuickPick(rows, { title: vscode.l10n.t('Train on a dataset') })
  if (chosen !== undefined) await train(deps, async () => ({ dataset: chosen.label, name: chosen.label }))
}

/** Makes a dataset of the stored conversations that may be used for it. */
export async function trainOnChats(deps: Deps): Promise<void> {
  await train(deps, async signal => {
    await deps.api.importConversations(CHATS, signal)
    return { dataset: CHATS, name: CHATS }
  })
}

async function train(deps: Deps, prepare: (signal: AbortSignal) => Promise<Data>): Promise<void> {
  const { api } = deps
  await deps.hub.ensure()
  const title = vscode.l10n.t('Which model is to learn?')
  const model = await pickModel(deps, title, each => each.parent === undefined)
  if (model === undefined) return
  const planned = await withCancel(vscode.l10n.t('Reading the data and planning'), async signal => {
    const { name, ...data } = await prepare(signal)
    const request: TrainingRequest = { model_name: model, name, replace: true, ...data }
    return { request, plan: await api.plan(request, signal) }
  })
  if (planned === undefined || !(await confirm(planned.plan))) return
  const job = await api.train(planned.request)
  await vscode.commands.executeCommand('aiHub.training.focus')
  await follow(deps, job)
}

/** The plan as a list to read; the first row starts. */
async function confirm(plan: Plan): Promise<boolean> {
  const { lines, warnings } = planLines(plan, (text, ...values) => vscode.l10n.t(text, ...values))
  const start = {
    label: `$(play) ${vscode.l10n.t('Start training')}`,
    description: `${plan.model}:${plan.name}`,
    detail: vscode.l10n.t('In the background; the result stands in the view Training.'),
  }
  const rows: vscode.QuickPickItem[] = [
    start,
    { label: vscode.l10n.t('The plan'), kind: vscode.QuickPickItemKind.Separator },
    ...lines.map(({ label, value, reason }) => ({
      label,
      description: value,
      ...(reason !== undefined && { detail: reason }),
    })),
    ...warnings.map(warning => ({ label: `$(warning) ${warning}` })),
  ]
  const title = vscode.l10n.t('Train {0}', plan.model)
  for (;;) {
    const chosen = await vscode.window.showQuickPick(rows, { title, ignoreFocusOut: true })
    // The other rows are there to be read.
    if (chosen === undefined || chosen === start) return chosen === start
  }
}

/** Shows how far the job is; the notification may be closed, and the job goes on unless it is cancelled. */
async function follow({ api, events }: Deps, job: TrainingJobOut): Promise<void> {
  const last = await vscode.window.withProgress(
    {
      location: vscode.ProgressLocation.Notification,
      title: vscode.l10n.t('Training {0}', `${job.model}:${job.name}`),
      cancellable: true,
    },
    (progress, token) =>
      new Promise<TrainingJobOut>(resolve => {
        let percent = 0
        const look = (): void => {
          const now = events.jobs.get(job.id)
          if (now === undefined) return
          if (hasEnded(now)) {
            following.dispose()
            resolve(now)
            return
          }
          const next =
            now.progress === undefined ? 0 : (100 * now.progress.step) / Math.max(1, now.progress.total_steps)
          progress.report({ message: tellProgress(now), increment: Math.max(0, next - percent) })
          percent = Math.max(percent, next)
        }
        const following = events.onEvent(({ type }) => {
          if (type === 'training.job' || type === 'training.progress') look()
          // After a lost connection nothing tells how it ended.
          else if (type === 'hello') {
            void api.job(job.id).then(
              now => {
                events.jobs.set(now.id, now)
                look()
              },
              () => {},
            )
          }
        })
        token.onCancellationRequested(() => void api.changeJob(job.id, 'cancel').catch(() => undefined))
        look()
        void api.job(job.id).then(
          now => {
            if (!events.jobs.has(now.id)) events.jobs.set(now.id, now)
            look()
          },
          () => {},
        )
      }),
  )
  await tellEnd(last)
}

async function tellEnd(job: TrainingJobOut): Promise<void> {
  const id = job.result_model
  if (job.status === 'failed') {
    void vscode.window.showErrorMessage(job.error?.message ?? vscode.l10n.t('The training failed.'))
  }
  if (job.status !== 'succeeded' || id === null) return
  const use = vscode.l10n.t('Use It')
  const compare = vscode.l10n.t('Compare')
  const loss = job.best_validation_loss
  const message =
    loss === undefined
      ? vscode.l10n.t('{0} is trained.', id)
      : vscode.l10n.t('{0} is trained; its validation loss is {1}.', id, loss.toFixed(3))
  const chosen = await vscode.window.showInformationMessage(message, use, compare)
  if (chosen === use) await vscode.commands.executeCommand('aiHub.useTrained', id)
  if (chosen === compare) await vscode.commands.executeCommand('aiHub.compareAdapter', id)
}

export function hasEnded({ status }: Pick<TrainingJobOut, 'status'>): boolean {
  return status === 'succeeded' || status === 'failed' || status === 'cancelled'
}

export function tellProgress({ progress, stage, note, status }: TrainingJobOut): string {
  if (progress === undefined || stage !== 'training') return note ?? tellStage(stage) ?? tellStatus(status)
  return vscode.l10n.t(
    'step {0} of {1}, loss {2}, {3} left',
    progress.step,
    progress.total_steps,
    progress.loss.toFixed(3),
    formatDuration(progress.seconds_left),
  )
}

function tellStage(stage: TrainingJobOut['stage']): string | undefined {
  const words = {
    data: vscode.l10n.t('reading the data'),
    tokens: vscode.l10n.t('cutting the text into tokens'),
    plan: vscode.l10n.t('planning'),
    search: vscode.l10n.t('looking for the best settings'),
    waiting: vscode.l10n.t('waiting'),
    training: vscode.l10n.t('starting'),
    publishing: vscode.l10n.t('writing the adapter'),
  }
  return stage === undefined ? undefined : words[stage]
}

export function tellStatus(status: TrainingJobOut['status']): string {
  const words: { [status in TrainingJobOut['status']]: string } = {
    validating_files: vscode.l10n.t('reading the data'),
    queued: vscode.l10n.t('waiting'),
    running: vscode.l10n.t('running'),
    paused: vscode.l10n.t('paused'),
    succeeded: vscode.l10n.t('done'),
    failed: vscode.l10n.t('failed'),
    cancelled: vscode.l10n.t('cancelled'),
  }
  return words[status]
}

/**
 * Runs with a notification that cancels; undefined when it was cancelled.
 * @param run may report how far it is, in percent of all
 */
export async function withCancel<T>(
  title: string,
  run: (signal: AbortSignal, report: (message: string, percent?: number) => void) => Promise<T>,
): Promise<T | undefined> {
  return vscode.window.withProgress(
    { location: vscode.ProgressLocation.Notification, title, cancellable: true },
    async (progress, token) => {
      const stop = new AbortController()
      token.onCancellationRequested(() => stop.abort())
      let shown = 0
      const report = (message: string, percent = shown): void => {
        progress.report({ message, increment: Math.max(0, percent - shown) })
        shown = Math.max(shown, percent)
      }
      try {
        return await run(stop.signal, report)
      } catch (thrown) {
        if (stop.signal.aborted) return undefined
        throw thrown
      }
    },
  )
}

async function pickFolder(): Promise<vscode.WorkspaceFolder | undefined> {
  const folders = vscode.workspace.workspaceFolders ?? []
  if (folders.length === 0) {
    void vscode.window.showInformationMessage(vscode.l10n.t('Open a folder first.'))
    return undefined
  }
  return folders.length === 1
    ? folders[0]
    : vscode.window.showWorkspaceFolderPick({ placeHolder: vscode.l10n.t('Train on which folder?') })
}

async function pickFile(): Promise<vscode.Uri | undefined> {
  const chosen = await vscode.window.showOpenDialog({
    title: vscode.l10n.t('Train on a dataset file'),
    openLabel: vscode.l10n.t('Train'),
    filters: { [vscode.l10n.t('Data')]: ['jsonl', 'json', 'csv', 'tsv', 'txt', 'md'] },
  })
  return chosen?.[0]
}
