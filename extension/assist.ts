/** The commands that a model answers: review, explain, fix, document, tests, commit message, questions. The server does the work. */
import * as vscode from 'vscode'
import type { ReviewAnswer, ReviewRequest } from '../server/wire/editor.ts'
import { type Client, MESSAGES } from './client.ts'
import { type GitApi, type GitRepository, git } from './git.ts'
import type { MarkdownPages } from './markdown.ts'

type Deps = { client: Client; pages: MarkdownPages }
type Scope = ReviewRequest['scope']

/** The kinds of the server's code actions, by the command that runs them. */
export const ACTIONS = {
  'aiHub.explain': 'refactor.aiHub.explain',
  'aiHub.fix': 'quickfix.aiHub.fix',
  'aiHub.document': 'refactor.rewrite.aiHub.document',
  'aiHub.writeTests': 'refactor.aiHub.tests',
} as const

/** Runs a code action of the server on the selection, as the light bulb would. */
export async function runAction(kind: string): Promise<void> {
  if (vscode.window.activeTextEditor === undefined) {
    void vscode.window.showInformationMessage(vscode.l10n.t('Open a file first.'))
    return
  }
  await vscode.commands.executeCommand('editor.action.codeAction', { kind, apply: 'first' })
}

export async function review({ client }: Deps, given?: Scope): Promise<void> {
  const editor = vscode.window.activeTextEditor
  const repository = (await git())?.repositories.find(Boolean)
  const scope = given ?? (await pickScope(editor, repository !== undefined))
  if (scope === undefined) return
  const request: Partial<ReviewRequest> = { scope }
  if (scope === 'selection' || scope === 'file') {
    if (editor === undefined) return
    request.uri = editor.document.uri.toString()
    const { start, end } = editor.selection
    if (scope === 'selection') request.range = { start: toPosition(start), end: toPosition(end) }
  } else {
    const chosen = await repositoryOf(editor)
    if (chosen === undefined) return
    request.workspace = chosen.rootUri.fsPath
    if (scope === 'branch') {
      const base = await pickBranch(chosen)
      if (base === undefined) return
      request.base = base
    }
  }
  const answer = await client.request<ReviewAnswer>(MESSAGES.review, request, vscode.l10n.t('Reviewing'))
  if (answer === undefined || answer === null) return
  if (answer.findings === 0) {
    void vscode.window.showInformationMessage(vscode.l10n.t('The review found nothing.'))
    return
  }
  const show = vscode.l10n.t('Show Problems')
  const message = vscode.l10n.t('Findings of the review: {0}. Files read: {1}.', answer.findings, answer.files)
  if ((await vscode.window.showInformationMessage(message, show)) === show) {
    await vscode.commands.executeCommand('workbench.actions.view.problems')
  }
}

/** Writes the message into the input box of the source control view. */
export async function commitMessage({ client }: Deps, given?: vscode.SourceControl): Promise<void> {
  const repository = await repositoryOf(vscode.window.activeTextEditor, given?.rootUri)
  if (repository === undefined) return
  const title = vscode.l10n.t('Writing a commit message')
  const workspace = repository.rootUri.fsPath
  const answer = await client.request<{ message: string }>(MESSAGES.commitMessage, { workspace }, title)
  if (answer) repository.inputBox.value = answer.message
}

export async function branchName({ client }: Deps): Promise<void> {
  const repository = await repositoryOf(vscode.window.activeTextEditor)
  if (repository === undefined) return
  const title = vscode.l10n.t('Looking for a branch name')
  const workspace = repository.rootUri.fsPath
  const answer = await client.request<{ name: string }>(MESSAGES.branchName, { workspace }, title)
  if (!answer) return
  const name = await vscode.window.showInputBox({ title: vscode.l10n.t('Create a branch'), value: answer.name })
  if (name) await repository.createBranch(name, true)
}

export async function explainTerminal({ client, pages }: Deps): Promise<void> {
  // The terminal gives its selection by the clipboard only, which is put back.
  const kept = await vscode.env.clipboard.readText()
  await vscode.commands.executeCommand('workbench.action.terminal.copySelection')
  const text = await vscode.env.clipboard.readText()
  await vscode.env.clipboard.writeText(kept)
  if (text.trim() === '' || text === kept) {
    void vscode.window.showInformationMessage(vscode.l10n.t('Select what is to be explained in the terminal first.'))
    return
  }
  const title = vscode.l10n.t('Explaining')
  const answer = await client.request<{ markdown: string }>(MESSAGES.explainTerminal, { text }, title)
  if (answer) await pages.show(vscode.l10n.t('Terminal'), answer.markdown)
}

export async function ask({ client, pages }: Deps): Promise<void> {
  const editor = vscode.window.activeTextEditor
  if (editor === undefined) return
  const question = await vscode.window.showInputBox({
    title: vscode.l10n.t('Ask about the selection'),
    prompt: vscode.l10n.t('The model sees the selection, or the file where nothing is selected.'),
  })
  if (!question) return
  const { document, selection } = editor
  const range = { start: toPosition(selection.start), end: toPosition(selection.end) }
  const params = { uri: document.uri.toString(), question, ...(!selection.isEmpty && { range }) }
  const answer = await client.request<{ markdown: string }>(MESSAGES.ask, params, vscode.l10n.t('Thinking'))
  if (answer) await pages.show(question.slice(0, 40), answer.markdown)
}

/** Of the code action "rewrite by instruction": the server asks for the instruction by this command. */
export async function rewrite({ client }: Deps, uri: string, range: unknown): Promise<void> {
  const instruction = await vscode.window.showInputBox({
    title: vscode.l10n.t('Rewrite'),
    prompt: vscode.l10n.t('What is to be changed?'),
    placeHolder: vscode.l10n.t('use async/await instead of callbacks'),
  })
  if (instruction) await client.request(MESSAGES.rewrite, { uri, range, instruction }, vscode.l10n.t('Rewriting'))
}

/** Of the code action "better names": the user picks one, and the language's own rename does the rest. */
export async function rename(
  uri: string,
  position: { line: number; character: number },
  names: readonly string[],
): Promise<void> {
  const name = await vscode.window.showQuickPick([...names], { title: vscode.l10n.t('Rename to') })
  if (name === undefined) return
  const edit = await vscode.commands.executeCommand<vscode.WorkspaceEdit | undefined>(
    'vscode.executeDocumentRenameProvider',
    vscode.Uri.parse(uri),
    new vscode.Position(position.line, position.character),
    name,
  )
  if (edit !== undefined) await vscode.workspace.applyEdit(edit)
}

async function pickScope(editor: vscode.TextEditor | undefined, hasGit: boolean): Promise<Scope | undefined> {
  const rows: (vscode.QuickPickItem & { scope: Scope })[] = []
  if (editor !== undefined && !editor.selection.isEmpty)
    rows.push({ label: vscode.l10n.t('The selection'), scope: 'selection' })
  if (hasGit) rows.push({ label: vscode.l10n.t('The staged changes'), scope: 'staged' })
  if (editor !== undefined) rows.push({ label: vscode.l10n.t('This file'), scope: 'file' })
  if (hasGit) rows.push({ label: vscode.l10n.t('This branch against another'), scope: 'branch' })
  if (rows.length === 0) {
    void vscode.window.showInformationMessage(vscode.l10n.t('Open a file first.'))
    return undefined
  }
  return (await vscode.window.showQuickPick(rows, { title: vscode.l10n.t('Review') }))?.scope
}

async function pickBranch(repository: GitRepository): Promise<string | undefined> {
  const branches = await repository.getBranches({ remote: true })
  const current = repository.state.HEAD?.name
  const names = branches.map(({ name }) => name).filter(name => name !== undefined && name !== current)
  const likely = (name: string | undefined): number => (/^(origin\/)?(main|master|develop)$/.test(name ?? '') ? 0 : 1)
  names.sort((a, b) => likely(a) - likely(b))
  return vscode.window.showQuickPick(names as string[], { title: vscode.l10n.t('Compare with') })
}

async function repositoryOf(
  editor: vscode.TextEditor | undefined,
  root?: vscode.Uri,
): Promise<GitRepository | undefined> {
  const api: GitApi | undefined = await git()
  const place = root ?? editor?.document.uri
  const found =
    (place && api?.getRepository(place)) ?? (api?.repositories.length === 1 ? api.repositories[0] : undefined)
  if (found !== undefined) return found
  if (api === undefined || api.repositories.length === 0) {
    void vscode.window.showInformationMessage(vscode.l10n.t('No git repository is open.'))
    return undefined
  }
  const rows = api.repositories.map(repository => ({ label: repository.rootUri.fsPath, repository }))
  return (await vscode.window.showQuickPick(rows, { title: vscode.l10n.t('Repository') }))?.repository
}

function toPosition({ line, character }: vscode.Position): { line: number; character: number } {
  return { line, character }
}
