/** Changes of files that are shown as a comparison first, and made when the user says so. */
import * as vscode from 'vscode'
import { lineChange } from './placement.ts'

const SCHEME = 'ai-hub-proposal'

/** Line ends of both texts are \n. */
type Proposal = { uri: vscode.Uri; before: string; after: string }

export class Proposals implements vscode.TextDocumentContentProvider, vscode.Disposable {
  readonly #proposals = new Map<string, Proposal>()
  readonly #subscriptions: vscode.Disposable[]
  #last = 0

  constructor() {
    this.#subscriptions = [
      vscode.workspace.registerTextDocumentContentProvider(SCHEME, this),
      vscode.workspace.onDidCloseTextDocument(({ uri }) => {
        if (uri.scheme === SCHEME) this.#proposals.delete(uri.toString())
      }),
    ]
  }

  provideTextDocumentContent(uri: vscode.Uri): string {
    return this.#proposals.get(uri.toString())?.after ?? ''
  }

  /** Shows what would change; the buttons of that editor make or drop it. */
  async show(document: vscode.TextDocument, after: string, column?: vscode.ViewColumn): Promise<void> {
    const uri = document.uri.with({ scheme: SCHEME, query: String(++this.#last), fragment: '' })
    this.#proposals.set(uri.toString(), { uri: document.uri, before: textOf(document), after })
    const name = vscode.workspace.asRelativePath(document.uri)
    await vscode.commands.executeCommand(
      'vscode.diff',
      document.uri,
      uri,
      vscode.l10n.t('{0}: proposed change', name),
      { ...(column !== undefined && { viewColumn: column }), preview: true } satisfies vscode.TextDocumentShowOptions,
    )
  }

  /** @param given of the button; without it the one that is looked at */
  async apply(given?: vscode.Uri): Promise<void> {
    const at = this.#find(given)
    if (at === undefined) return
    const { uri, before, after } = at.proposal
    const document = await vscode.workspace.openTextDocument(uri)
    if (textOf(document) !== before) {
      void vscode.window.showWarningMessage(
        vscode.l10n.t('The file was changed meanwhile. Choose "Apply to file" again to see the change as it is now.'),
      )
      return
    }
    const change = lineChange(before, after)
    const range = document.validateRange(new vscode.Range(change.first, 0, change.end, 0))
    const edit = new vscode.WorkspaceEdit()
    edit.replace(uri, range, change.text)
    if (!(await vscode.workspace.applyEdit(edit))) {
      void vscode.window.showErrorMessage(vscode.l10n.t('{0} cannot be changed.', vscode.workspace.asRelativePath(uri)))
      return
    }
    await this.#close(at.uri)
    const start = document.validatePosition(new vscode.Position(change.first, 0))
    await vscode.window.showTextDocument(document, { selection: new vscode.Range(start, start) })
  }

  async discard(given?: vscode.Uri): Promise<void> {
    const at = this.#find(given)
    if (at !== undefined) await this.#close(at.uri)
  }

  dispose(): void {
    for (const each of this.#subscriptions) each.dispose()
  }

  #find(given: vscode.Uri | undefined): { uri: vscode.Uri; proposal: Proposal } | undefined {
    const input = vscode.window.tabGroups.activeTabGroup.activeTab?.input
    const shown = input instanceof vscode.TabInputTextDiff ? input.modified : undefined
    for (const uri of [given, shown]) {
      const proposal = uri && this.#proposals.get(uri.toString())
      if (uri !== undefined && proposal !== undefined) return { uri, proposal }
    }
    return undefined
  }

  async #close(uri: vscode.Uri): Promise<void> {
    const tabs = vscode.window.tabGroups.all
      .flatMap(group => group.tabs)
      .filter(({ input }) => input instanceof vscode.TabInputTextDiff && input.modified.toString() === uri.toString())
    await vscode.window.tabGroups.close(tabs)
  }
}

/** With \n at the ends of lines. */
export function textOf(document: vscode.TextDocument, range?: vscode.Range): string {
  return document.getText(range).replaceAll('\r\n', '\n')
}
