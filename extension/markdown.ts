/** Shows a text in Markdown beside the editor, as a preview of a document that exists in memory only. */
import * as vscode from 'vscode'

const SCHEME = 'ai-hub-answer'

export class MarkdownPages implements vscode.TextDocumentContentProvider, vscode.Disposable {
  readonly #texts = new Map<string, string>()
  readonly #changed = new vscode.EventEmitter<vscode.Uri>()
  readonly onDidChange = this.#changed.event
  readonly #subscriptions: vscode.Disposable[]

  constructor() {
    this.#subscriptions = [
      this.#changed,
      vscode.workspace.registerTextDocumentContentProvider(SCHEME, this),
      vscode.workspace.onDidCloseTextDocument(({ uri }) => {
        if (uri.scheme === SCHEME) this.#texts.delete(uri.path)
      }),
    ]
  }

  provideTextDocumentContent(uri: vscode.Uri): string {
    return this.#texts.get(uri.path) ?? ''
  }

  /** A page of the same title is replaced. */
  async show(title: string, markdown: string): Promise<void> {
    const uri = vscode.Uri.from({ scheme: SCHEME, path: `/${title.replace(/[/\\?#]/g, ' ')}.md` })
    this.#texts.set(uri.path, markdown)
    this.#changed.fire(uri)
    try {
      await vscode.commands.executeCommand('markdown.showPreviewToSide', uri)
    } catch {
      // The editor's own Markdown extension may be switched off.
      await vscode.window.showTextDocument(uri, { viewColumn: vscode.ViewColumn.Beside, preview: true })
    }
  }

  dispose(): void {
    for (const each of this.#subscriptions) each.dispose()
  }
}
