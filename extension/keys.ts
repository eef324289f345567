/** API keys of the hub from the palette: one is made and shown this once, or deleted. */
import * as vscode from 'vscode'
import type { ApiKey } from '../server/wire/keys.ts'
import type { Api } from './api.ts'
import type { Hub } from './hub.ts'

type Deps = { hub: Hub; api: Api }

export async function createKey({ hub, api }: Deps): Promise<void> {
  const name = await vscode.window.showInputBox({
    title: vscode.l10n.t('Create an API key'),
    prompt: vscode.l10n.t('What is it for? A phone or a program, for example.'),
    validateInput: text => (text.trim().length > 64 ? vscode.l10n.t('At most 64 letters') : undefined),
  })
  if (name === undefined || name.trim() === '') return
  const roles = [
    {
      role: 'use' as const,
      label: vscode.l10n.t('For answers'),
      detail: vscode.l10n.t('Chat, completions, embeddings, the list of models, and the kept chats'),
    },
    {
      role: 'admin' as const,
      label: vscode.l10n.t('For everything'),
      detail: vscode.l10n.t('Loading models, training, files, settings and other keys as well'),
    },
  ]
  const chosen = await vscode.window.showQuickPick(roles, { title: vscode.l10n.t('What may the key {0} do?', name) })
  if (chosen === undefined) return
  const { value } = await api.createKey(name, chosen.role)
  const copy = vscode.l10n.t('Copy Key')
  const detail = `${value}\n\n${vscode.l10n.t('It is shown this once; the hub itself keeps only its hash.')}`
  const message = vscode.l10n.t('The API key {0} is made.', name)
  if ((await vscode.window.showInformationMessage(message, { modal: true, detail }, copy)) !== copy) return
  await vscode.env.clipboard.writeText(value)
  const url = `${(await hub.ensure()).url}/v1`
  const copyUrl = vscode.l10n.t('Copy Base URL')
  const copied = vscode.l10n.t('Copied the key. Clients on this machine find the hub at {0}.', url)
  if ((await vscode.window.showInformationMessage(copied, copyUrl)) === copyUrl)
    await vscode.env.clipboard.writeText(url)
}

export async function deleteKey({ api }: Deps): Promise<void> {
  const rows = (await api.keys()).map(toRow)
  if (rows.length === 0) {
    const create = vscode.l10n.t('Create an API Key')
    const chosen = await vscode.window.showInformationMessage(vscode.l10n.t('There are no API keys.'), create)
    if (chosen === create) await vscode.commands.executeCommand('aiHub.createKey')
    return
  }
  const title = vscode.l10n.t('Delete an API key')
  const key = await vscode.window.showQuickPick(rows, { title, matchOnDescription: true })
  if (key === undefined) return
  const yes = vscode.l10n.t('Delete')
  const message = vscode.l10n.t('Delete the API key {0}? Whoever uses it is shut out at once.', key.label)
  if ((await vscode.window.showWarningMessage(message, { modal: true }, yes)) === yes) await api.deleteKey(key.id)
}

function toRow({
  id,
  name,
  role,
  redacted_value,
  last_used_at,
  expires_at,
}: ApiKey): vscode.QuickPickItem & { id: string } {
  const day = (seconds: number): string => new Date(seconds * 1000).toLocaleDateString()
  const facts = [
    last_used_at === null ? vscode.l10n.t('never used') : vscode.l10n.t('last used {0}', day(last_used_at)),
    ...(expires_at === null ? [] : [vscode.l10n.t('until {0}', day(expires_at))]),
  ]
  return { id, label: name, description: `${redacted_value} · ${role}`, detail: facts.join(', ') }
}
