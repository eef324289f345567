/** What is done with a model from the palette or the view: load, unload, pin, switch to, use for a purpose. */
import * as vscode from 'vscode'
import type { ModelStatusOut } from '../server/wire/system.ts'
import { type Api, ApiError } from './api.ts'
import type { Hub } from './hub.ts'
import { tellState, togglePin } from './models_view.ts'
import type { Problems } from './problems.ts'
import { changeSetting, readSettings } from './settings.ts'
import { formatBytes } from './text.ts'

type Deps = { hub: Hub; api: Api; problems: Problems }
/** What a command is given: a row of the view, an id, or nothing, which asks. */
export type ModelArgument = string | { id: string } | undefined

export async function loadModel(deps: Deps, given: ModelArgument): Promise<void> {
  const id = idOf(given) ?? (await pickModel(deps, vscode.l10n.t('Load a model'), model => model.state !== 'ready'))
  if (id === undefined) return
  await vscode.window.withProgress(
    { location: vscode.ProgressLocation.Notification, title: vscode.l10n.t('Loading {0}', id), cancellable: true },
    async (_progress, token) => {
      const stop = new AbortController()
      token.onCancellationRequested(() => stop.abort())
      try {
        await deps.api.load(id, stop.signal)
      } catch (thrown) {
        if (stop.signal.aborted) return
        if (!(thrown instanceof ApiError) || thrown.status !== 503) throw thrown
        deps.problems.tell({ code: 'model_load_failed', message: thrown.message })
      }
    },
  )
}

export async function unloadModel(deps: Deps, given: ModelArgument): Promise<void> {
  const id = idOf(given) ?? (await pickModel(deps, vscode.l10n.t('Unload a model'), model => model.state === 'ready'))
  if (id !== undefined) await deps.api.unload(id)
}

export async function pinModel({ hub, api }: Deps, given: ModelArgument): Promise<void> {
  const id = idOf(given) ?? (await pickModel({ hub, api }, vscode.l10n.t('Keep a model loaded')))
  const model = (await api.models()).find(each => each.id === id)
  if (model === undefined) return
  const isPinned = await togglePin(hub, model)
  void vscode.window.showInformationMessage(
    isPinned
      ? vscode.l10n.t('{0} is loaded at every start, and never unloaded to make room.', model.id)
      : vscode.l10n.t('{0} may be unloaded to make room.', model.id),
  )
}

/** Chooses the model of the suggestions, and loads it, so that the next suggestion need not wait. */
export async function switchModel(deps: Deps, given: ModelArgument): Promise<void> {
  const id = idOf(given) ?? (await pickSuggesting(deps))
  if (id === undefined) return
  await changeSetting('completion.model', id)
  if (id !== '') await loadModel(deps, id)
}

/** Asks what a model is to be used for, and makes it so. */
export async function useModel(deps: Deps, given: ModelArgument): Promise<void> {
  const id = idOf(given) ?? (await pickModel(deps, vscode.l10n.t('Use a model')))
  if (id === undefined) return
  const rows = [
    { label: vscode.l10n.t('For suggestions while typing'), settings: ['completion.model'] },
    { label: vscode.l10n.t('For reviews, explanations and fixes'), settings: ['chat.model'] },
    { label: vscode.l10n.t('For both'), settings: ['completion.model', 'chat.model'] },
  ]
  const chosen = await vscode.window.showQuickPick(rows, { title: vscode.l10n.t('Use {0}', id) })
  if (chosen === undefined) return
  for (const setting of chosen.settings) await changeSetting(setting, id)
  void vscode.window.showInformationMessage(vscode.l10n.t('{0} is in use now.', id))
}

/** Uses a model for what it is fit for: suggestions where it fills in the middle, else answers. */
export async function useTrained({ api }: Deps, id: string): Promise<void> {
  const model = (await api.models()).find(each => each.id === id)
  if (model === undefined) return
  const isForCode = model.facts?.fim === true
  await changeSetting(isForCode ? 'completion.model' : 'chat.model', id)
  void vscode.window.showInformationMessage(
    isForCode
      ? vscode.l10n.t('{0} suggests code from now on.', id)
      : vscode.l10n.t('{0} reviews, explains and fixes from now on.', id),
  )
}

export async function copyUrl(hub: Hub): Promise<void> {
  const { url } = await hub.ensure()
  await vscode.env.clipboard.writeText(`${url}/v1`)
  if ((await fetch(`${url}/v1/models`)).status !== 401) {
    void vscode.window.showInformationMessage(vscode.l10n.t('Copied {0}/v1; any key will do.', url))
    return
  }
  const create = vscode.l10n.t('Create an API Key')
  const message = vscode.l10n.t('Copied {0}/v1; this hub asks for an API key.', url)
  if ((await vscode.window.showInformationMessage(message, create)) === create) {
    await vscode.commands.executeCommand('aiHub.createKey')
  }
}

/** @returns the id, or undefined when nothing was chosen or there is nothing to choose from */
export async function pickModel(
  { api, hub }: Pick<Deps, 'api' | 'hub'>,
  title: string,
  offers: (model: ModelStatusOut) => boolean = () => true,
): Promise<string | undefined> {
  const models = (await api.models()).filter(model => model.state !== 'broken')
  if (models.length === 0) {
    await tellNoModel(hub)
    return undefined
  }
  const rows = models.filter(offers).map(toRow)
  return (await vscode.window.showQuickPick(rows, { title, matchOnDescription: true }))?.id
}

async function pickSuggesting({ api, hub }: Deps): Promise<string | undefined> {
  const { model: current } = readSettings().completion
  const models = (await api.models()).filter(model => model.facts?.fim === true && model.state !== 'broken')
  if (models.length === 0) {
    await tellNoModel(hub)
    return undefined
  }
  const rows = [
    {
      id: '',
      label: `$(wand) ${vscode.l10n.t('The best one there is')}`,
      description: current === '' ? vscode.l10n.t('in use') : '',
    },
    ...models.map(model => {
      const row = toRow(model)
      return model.id === current ? { ...row, description: `${vscode.l10n.t('in use')} · ${row.description}` } : row
    }),
  ]
  const title = vscode.l10n.t('Model for suggestions')
  return (await vscode.window.showQuickPick(rows, { title, matchOnDescription: true }))?.id
}

/** What helps somebody who has no model: getting one, the folder, and what a model is. */
export async function tellNoModel(hub: Hub): Promise<void> {
  const get = vscode.l10n.t('Get a Model…')
  const open = vscode.l10n.t('Open Models Folder')
  const how = vscode.l10n.t('How to Get One')
  const message = vscode.l10n.t('There is no fitting model yet. Get one, or put a GGUF file into local_models.')
  const chosen = await vscode.window.showInformationMessage(message, get, ...(hub.isLocal ? [open] : []), how)
  if (chosen === get) await vscode.commands.executeCommand('aiHub.pullModel')
  if (chosen === open) await vscode.commands.executeCommand('aiHub.openModels')
  if (chosen === how) await vscode.commands.executeCommand('aiHub.walkthrough')
}

function toRow(model: ModelStatusOut): vscode.QuickPickItem & { id: string } {
  const parts = [tellState(model.state), model.facts?.quantization, formatBytes(model.bytes)]
  return {
    id: model.id,
    label: model.id,
    description: parts.filter(part => part !== undefined && part !== '').join(' · '),
    ...(model.description !== undefined && { detail: model.description }),
  }
}

export function idOf(given: ModelArgument): string | undefined {
  return typeof given === 'string' ? given : given?.id
}
