/** What a code action is, and how one is offered without asking a model, and worked out when it is chosen. */
import {
  type ChangeAnnotation,
  type CodeAction,
  type CodeActionParams,
  CodeActionTag,
  CodeActionTriggerKind,
  type Command,
  type Diagnostic,
  type OptionalVersionedTextDocumentIdentifier,
  type Range,
  type TextEdit,
  type WorkspaceEdit,
} from 'vscode-languageserver'
import type { TextDocument } from 'vscode-languageserver-textdocument'
import * as z from 'zod'
import type { AskModel } from '../../assistant/ask.ts'
import type { Code, Edit } from '../../assistant/code.ts'
import { HubError } from '../../lib/error.ts'
import { Range as RangeSchema } from '../../wire/editor.ts'
import type { Client, Running, Session } from '../session.ts'
import type { Locale } from '../texts.ts'
import { ACTIONS } from './all.ts'

/** Where an action is asked for. */
export type Place = {
  document: TextDocument
  range: Range
  code: Code
  /** Of every language server, as the client gives them. */
  diagnostics: Diagnostic[]
  locale: Locale
  client: Client
  /** Paths of the open documents of the workspace. */
  open: string[]
}

export type Offer = {
  title: string
  diagnostics?: Diagnostic[]
  /** Comes back when the action is chosen. */
  data?: unknown
  /** For what needs no model: the client runs it as it is. */
  command?: Command
}

/** What an action has at hand when it is chosen. */
export type ActionDeps = {
  ask: AskModel
  locale: Locale
  client: Client
  /** Paths of the workspace's files, with forward slashes. */
  files(): Promise<string[]>
  /** A file of the workspace as the editor has it, else as it is on disk; undefined where there is none. */
  read(path: string): Promise<FileText | undefined>
  uriOf(path: string): string
}
export type FileText = { uri: string; text: string; version: number | null }

/** New texts for parts of documents; `create` makes the file first. */
export type FileEdits = { uri: string; version: number | null; edits: TextEdit[]; create?: true }
export type Result = { edits: FileEdits[] } | { command: Command }

export type Action = {
  id: string
  kind: string
  /** Whether it is shown without being asked for, as a light bulb is. */
  automatic?: true
  /** Cheap: no model, no file. */
  offers(place: Place): Offer[]
  /** @throws HubError, whose message the user is shown */
  resolve(place: Place, data: unknown, deps: ActionDeps, signal: AbortSignal): Promise<Result>
}

const Chosen = z.object({
  action: z.string(),
  uri: z.string(),
  version: z.int(),
  range: RangeSchema,
  data: z.unknown().optional(),
})
type Chosen = z.infer<typeof Chosen>

/** The actions of a place, still without their edits. */
export function offerActions(session: Session, { textDocument, range, context }: CodeActionParams): CodeAction[] {
  const document = session.documents.get(textDocument.uri)
  if (document === undefined) return []
  const place = placeOf(session, document, range, context.diagnostics)
  // A light bulb at every place of every file would say nothing.
  const unasked = context.triggerKind === CodeActionTriggerKind.Automatic && place.code.start === place.code.end
  return ACTIONS.filter(
    ({ kind, automatic }) => wanted(kind, context.only) && (!unasked || automatic === true),
  ).flatMap(action =>
    action.offers(place).map(({ title, diagnostics, data, command }) => {
      const chosen: Chosen = { action: action.id, uri: document.uri, version: document.version, range, data }
      const run: Command = { title, command: 'aiHub.runAction', arguments: [chosen] }
      return {
        title,
        kind: action.kind,
        ...(session.client.tags && { tags: [CodeActionTag.LLMGenerated] }),
        ...(diagnostics !== undefined && { diagnostics }),
        ...(command !== undefined ? { command } : session.client.resolves ? { data: chosen } : { command: run }),
      }
    }),
  )
}

/** Works a chosen action out. Where it cannot be, the action comes back without an edit, and the user was told why. */
export async function resolveAction(session: Session, action: CodeAction, running: Running): Promise<CodeAction> {
  const result = await work(session, action.data, running)
  return 'command' in result
    ? { ...action, command: result.command }
    : { ...action, edit: toWorkspaceEdit(session, result.edits, action.title) }
}

/** For clients that cannot have an action worked out when it is chosen: does it here and sends the edit. */
export async function runAction(session: Session, chosen: unknown, running: Running): Promise<void> {
  const result = await work(session, chosen, running)
  if ('command' in result) {
    const [, text] = result.command.arguments ?? []
    if (typeof text === 'string') session.show(text)
    return
  }
  await session.connection.workspace.applyEdit(toWorkspaceEdit(session, result.edits, 'AI'))
}

async function work(session: Session, given: unknown, running: Running): Promise<Result> {
  const chosen = Chosen.safeParse(given)
  const action = chosen.success ? ACTIONS.find(({ id }) => id === chosen.data.action) : undefined
  if (!chosen.success || action === undefined) throw new HubError('invalid_request', 'There is no such code action.')
  const { uri, version, range, data } = chosen.data
  const document = current(session, uri, version)
  const place = placeOf(session, document, range, [])
  const result = await action.resolve(place, data, actionDeps(session, uri, running), running.signal)
  // What was typed meanwhile would be torn apart by an edit that does not know of it.
  current(session, uri, version)
  return result
}

/** @throws HubError conflict when the document is not what it was */
export function current(session: Session, uri: string, version: number): TextDocument {
  const document = session.documents.get(uri)
  if (document?.version !== version) throw new HubError('conflict', session.say('changed'))
  return document
}

export function placeOf(session: Session, document: TextDocument, range: Range, diagnostics: Diagnostic[]): Place {
  return {
    document,
    range,
    code: {
      path: session.pathOf(document.uri),
      language: document.languageId,
      text: document.getText(),
      start: document.offsetAt(range.start),
      end: document.offsetAt(range.end),
    },
    diagnostics,
    locale: session.client.locale,
    client: session.client,
    open: session.documents.all().map(each => session.pathOf(each.uri)),
  }
}

export function actionDeps(session: Session, uri: string, running: Running): ActionDeps {
  const folder = session.folderOf(uri)
  return {
    ask: session.ask(running),
    locale: session.client.locale,
    client: session.client,
    files: () => session.filesOf(folder, running.signal),
    read: path => session.readFile(folder, path),
    uriOf: path => session.uriIn(folder, uri, path),
  }
}

/** Edits of one document, from offsets to ranges. */
export function inDocument(document: TextDocument, edits: readonly Edit[]): Result {
  return {
    edits: [
      {
        uri: document.uri,
        version: document.version,
        edits: edits.map(({ start, end, text }) => ({
          range: { start: document.positionAt(start), end: document.positionAt(end) },
          newText: text,
        })),
      },
    ],
  }
}

/** @throws HubError invalid_request when the client cannot make the files */
export function toWorkspaceEdit(session: Session, files: readonly FileEdits[], label: string): WorkspaceEdit {
  const { client } = session
  if (!client.documentChanges) {
    const made = files.find(({ create }) => create)
    if (made !== undefined) throw new HubError('invalid_request', session.say('noCreate', session.pathOf(made.uri)))
    return { changes: Object.fromEntries(files.map(({ uri, edits }) => [uri, edits])) }
  }
  const annotationId = 'ai'
  const annotated = client.annotations ? { annotationId } : {}
  const annotation: ChangeAnnotation = { label, needsConfirmation: true, description: session.say('confirm') }
  const documentChanges: WorkspaceEdit['documentChanges'] = []
  for (const { uri, version, edits, create } of files) {
    if (create) {
      if (!client.createFiles) throw new HubError('invalid_request', session.say('noCreate', session.pathOf(uri)))
      documentChanges.push({ kind: 'create', uri, options: { ignoreIfExists: true }, ...annotated })
    }
    const textDocument: OptionalVersionedTextDocumentIdentifier = { uri, version }
    documentChanges.push({ textDocument, edits: edits.map(edit => ({ ...edit, ...annotated })) })
  }
  return { documentChanges, ...(client.annotations && { changeAnnotations: { [annotationId]: annotation } }) }
}

/** `refactor` asks for `refactor.rewrite` as well. */
function wanted(kind: string, only: readonly string[] | undefined): boolean {
  return only === undefined || only.some(each => each === '' || kind === each || kind.startsWith(`${each}.`))
}
