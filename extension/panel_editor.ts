/** What the pages ask of the editor: code at the cursor, code into a file, a file to be saved. */
import * as vscode from 'vscode'
import { goTogether, languageId } from './code_language.ts'
import { fileName } from './panel_door.ts'
import { indentLike, placeCode } from './placement.ts'
import { type Proposals, textOf } from './proposals.ts'

export class PanelEditor implements vscode.Disposable {
  readonly #proposals: Proposals
  readonly #subscription: vscode.Disposable
  /** The editor of a text that was used last: none is active while a page is. */
  #last: vscode.TextEditor | undefined

  constructor(proposals: Proposals) {
    this.#proposals = proposals
    this.#note(vscode.window.activeTextEditor)
    this.#subscription = vscode.window.onDidChangeActiveTextEditor(editor => this.#note(editor))
  }

  dispose(): void {
    this.#subscription.dispose()
  }

  /** In place of what is selected, as one step to undo. */
  async insert(text: string): Promise<void> {
    const editor = await this.#show()
    if (editor === undefined) {
      void vscode.window.showInformationMessage(vscode.l10n.t('Open a file first.'))
      return
    }
    const { document, selections } = editor
    const isDone = await editor.edit(
      edit => {
        for (const selection of selections) {
          const before = document.lineAt(selection.start.line).text.slice(0, selection.start.character)
          edit.replace(selection, indentLike(text, before))
        }
      },
      { undoStopBefore: true, undoStopAfter: true },
    )
    if (!isDone) {
      const name = vscode.workspace.asRelativePath(document.uri)
      void vscode.window.showErrorMessage(vscode.l10n.t('{0} cannot be changed.', name))
    }
  }

  /** Shows what would change in the file that the code names, else in the one that was used last; a new file where neither is right. */
  async apply(code: { text: string; language: string; file?: string | undefined }): Promise<void> {
    const language = languageId(code.language, await vscode.languages.getLanguages())
    const named = code.file === undefined ? undefined : await findFile(code.file)
    const last = this.#last
    const isLast = last !== undefined && !last.document.isClosed && goTogether(language, last.document.languageId)
    const uri = named ?? (code.file === undefined && isLast ? last.document.uri : undefined)
    if (uri === undefined) {
      await openNew(code.text, language, code.file)
      return
    }
    const document = await vscode.workspace.openTextDocument(uri)
    const isSelected = last?.document === document
    const selection = isSelected ? last.selection : new vscode.Selection(document.lineCount, 0, document.lineCount, 0)
    const text = textOf(document)
    // A selection that ends before the first letter of a line does not mean that line.
    const end = selection.end.character === 0 ? selection.end.line : selection.end.line + 1
    const after = placeCode(text, code.text, {
      first: selection.start.line,
      end: selection.isEmpty ? selection.start.line : end,
    })
    if (after === text) {
      const name = vscode.workspace.asRelativePath(uri)
      void vscode.window.showInformationMessage(vscode.l10n.t('{0} says that already.', name))
      return
    }
    await this.#proposals.show(document, after, last?.viewColumn)
  }

  /** What is selected, as a message may quote it; undefined where nothing is. */
  quote(): string | undefined {
    const editor = vscode.window.activeTextEditor
    if (editor === undefined || editor.selection.isEmpty) {
      void vscode.window.showInformationMessage(vscode.l10n.t('Select some text first.'))
      return undefined
    }
    const { document, selection } = editor
    const text = textOf(document, selection)
    const ticks = '`'.repeat(Math.max(2, ...[...text.matchAll(/`+/g)].map(([found]) => found.length)) + 1)
    const path = vscode.workspace.asRelativePath(document.uri)
    return `${ticks}${document.languageId} ${path}\n${text.replace(/\n$/, '')}\n${ticks}\n\n`
  }

  async save(wanted: string, content: string): Promise<void> {
    const folder = vscode.workspace.workspaceFolders?.[0]?.uri
    const name = fileName(wanted)
    const uri = await vscode.window.showSaveDialog({
      ...(folder !== undefined && { defaultUri: vscode.Uri.joinPath(folder, name) }),
    })
    if (uri !== undefined) await vscode.workspace.fs.writeFile(uri, new TextEncoder().encode(content))
  }

  #note(editor: vscode.TextEditor | undefined): void {
    if (editor !== undefined && isText(editor.document.uri.scheme)) this.#last = editor
  }

  /** The editor that was used last, in view and in focus. */
  async #show(): Promise<vscode.TextEditor | undefined> {
    const last = this.#last
    if (last === undefined || last.document.isClosed) return undefined
    const selection = last.selection
    const editor = await vscode.window.showTextDocument(last.document, {
      ...(last.viewColumn !== undefined && { viewColumn: last.viewColumn }),
      preview: false,
    })
    // An editor that was hidden comes back with its cursor, but not always with its selection.
    if (editor !== last) editor.selection = selection
    return editor
  }
}

/** Texts that a user writes, no outputs and no old versions. */
function isText(scheme: string): boolean {
  return (
    ['untitled', 'vscode-notebook-cell'].includes(scheme) || vscode.workspace.fs.isWritableFileSystem(scheme) === true
  )
}

/** A file of the workspace, by its path in it, or by its name where there is only one of that name. */
async function findFile(path: string): Promise<vscode.Uri | undefined> {
  const parts = path
    .replaceAll('\\', '/')
    .split('/')
    .filter(part => part !== '' && part !== '.')
  if (parts.length === 0 || parts.includes('..')) return undefined
  for (const { uri } of vscode.workspace.workspaceFolders ?? []) {
    const file = vscode.Uri.joinPath(uri, ...parts)
    const found = await vscode.workspace.fs.stat(file).then(
      ({ type }) => (type & vscode.FileType.File) !== 0,
      () => false,
    )
    if (found) return file
  }
  const literal = parts.join('/').replace(/[*?[\]{}]/g, '?')
  const found = await vscode.workspace.findFiles(`**/${literal}`, '**/node_modules/**', 2)
  return found.length === 1 ? found[0] : undefined
}

/** A document that is no file yet; saving it offers the path that the code names. */
async function openNew(text: string, language: string, path: string | undefined): Promise<void> {
  const folder = vscode.workspace.workspaceFolders?.[0]?.uri
  const parts = (path ?? '')
    .replaceAll('\\', '/')
    .split('/')
    .filter(part => part !== '' && part !== '.')
  const content = text.endsWith('\n') ? text : `${text}\n`
  if (folder === undefined || parts.length === 0 || parts.includes('..')) {
    const document = await vscode.workspace.openTextDocument({ content, language })
    await vscode.window.showTextDocument(document, { preview: false })
    return
  }
  const uri = vscode.Uri.joinPath(folder, ...parts).with({ scheme: 'untitled' })
  const document = await vscode.workspace.openTextDocument(uri)
  const editor = await vscode.window.showTextDocument(document, { preview: false })
  await editor.edit(edit => edit.insert(new vscode.Position(0, 0), content))
}
