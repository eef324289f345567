/** What is used of the editor's own git extension. */
import * as vscode from 'vscode'

export type GitRepository = {
  rootUri: vscode.Uri
  inputBox: { value: string }
  state: { HEAD?: { name?: string } }
  getBranches(query: { remote: boolean }): Promise<{ name?: string }[]>
  createBranch(name: string, checkout: boolean): Promise<void>
}
export type GitApi = {
  repositories: GitRepository[]
  getRepository(uri: vscode.Uri): GitRepository | null
}

/** Undefined where git is switched off or missing. */
export async function git(): Promise<GitApi | undefined> {
  const extension = vscode.extensions.getExtension<{ enabled: boolean; getAPI(version: 1): GitApi }>('vscode.git')
  try {
    const exported = extension?.isActive === true ? extension.exports : await extension?.activate()
    return exported?.enabled === true ? exported.getAPI(1) : undefined
  } catch {
    return undefined
  }
}
