/** The settings `aiHub.*` of this window, in the shape of the hub's own schema; package.json gives the defaults. */
import * as vscode from 'vscode'
import type { EditorSettings } from '../server/wire/editor_settings.ts'

/** The settings as they are now, for a place where the folder's own ones count. */
export function readSettings(scope?: vscode.ConfigurationScope): EditorSettings {
  const value = vscode.workspace.getConfiguration(undefined, scope).get<EditorSettings>('aiHub')
  if (value === undefined) throw new Error('package.json declares no settings of aiHub')
  return value
}

/** Changes a setting where it is set already, else for the user. */
export async function changeSetting(name: string, value: unknown): Promise<void> {
  const configuration = vscode.workspace.getConfiguration('aiHub')
  const found = configuration.inspect(name)
  const target =
    found?.workspaceFolderValue !== undefined
      ? vscode.ConfigurationTarget.WorkspaceFolder
      : found?.workspaceValue !== undefined
        ? vscode.ConfigurationTarget.Workspace
        : vscode.ConfigurationTarget.Global
  await configuration.update(name, value, target)
}
