/** The requests of a client beside LSP's own: commit message, branch name, a terminal's error, a question, a rewrite in words. */
import { TextDocument } from 'vscode-languageserver-textdocument'
import type * as z from 'zod'
import { branchName, commitMessage } from '../assistant/commit.ts'
import { answerQuestion } from '../assistant/question.ts'
import { rewrite } from '../assistant/rewrite.ts'
import { explainTerminal } from '../assistant/terminal.ts'
import { HubError } from '../lib/error.ts'
import type { AskRequest, ExplainTerminal, RewriteRequest, WorkspaceRequest } from '../wire/editor.ts'
import { current, inDocument, placeOf, toWorkspaceEdit } from './code_actions/action.ts'
import { localPath, readText } from './files.ts'
import { gitRoot, staged } from './git.ts'
import type { Running, Session } from './session.ts'

export async function toCommitMessage(session: Session, request: WorkspaceRequest, running: Running) {
  return {
    message: await commitMessage(session.ask(running), await stagedIn(session, request, running), running.signal),
  }
}

export async function toBranchName(session: Session, request: WorkspaceRequest, running: Running) {
  return { name: await branchName(session.ask(running), await stagedIn(session, request, running), running.signal) }
}

export async function toExplanation(session: Session, { text }: ExplainTerminal, running: Running) {
  const prose = session.client.locale
  return { markdown: await explainTerminal(session.ask(running), { text, prose }, running.signal) }
}

export async function toAnswer(session: Session, { uri, range, question }: AskRequest, running: Running) {
  const document = session.documents.find(uri) ?? (await fromDisk(uri))
  const start = { line: 0, character: 0 }
  const whole = { start, end: document.positionAt(document.getText().length) }
  const { code } = placeOf(session, document, range ?? whole, [])
  // A whole file is context enough; only a selection has to be shown uncut.
  const place = range === undefined && code.text.length > MOST_WHOLE ? { ...code, end: MOST_WHOLE } : code
  const prose = session.client.locale
  return { markdown: await answerQuestion(session.ask(running), place, { question, prose }, running.signal) }
}

const MOST_WHOLE = 8000

/** Rewrites a range and has the client apply the edit. */
export async function toRewritten(session: Session, { uri, range, instruction }: RewriteRequest, running: Running) {
  const document = session.documents.find(uri)
  if (document === undefined) throw new HubError('invalid_request', 'Open the file that is to be rewritten.')
  const { version } = document
  const { code } = placeOf(session, document, range, [])
  const result = inDocument(document, await rewrite(session.ask(running), code, instruction, running.signal))
  current(session, document.uri, version)
  const edits = 'edits' in result ? result.edits : []
  const { applied } = await session.connection.workspace.applyEdit(toWorkspaceEdit(session, edits, instruction))
  return { applied }
}

/** @throws HubError invalid_request for what is not the schema's */
export function checked<S extends z.ZodType>(schema: S, value: unknown): z.infer<S> {
  const read = schema.safeParse(value)
  if (read.success) return read.data
  const issue = read.error.issues[0]
  throw new HubError(
    'invalid_request',
    `The editor's request is not understood: ${issue?.path.join('.')} ${issue?.message}`,
  )
}

async function stagedIn(session: Session, { workspace }: WorkspaceRequest, { signal }: Running) {
  return staged(await gitRoot(session.localFolder(workspace), signal), signal)
}

async function fromDisk(uri: string): Promise<TextDocument> {
  const path = localPath(uri)
  const text = path === undefined ? undefined : await readText(path)
  if (text === undefined) throw new HubError('invalid_request', 'Open the file that the question is about.')
  return TextDocument.create(uri, '', 0, text)
}
