/** What a code action is, where it works, and what becomes of its edits. */
import type {
  ChangeAnnotation,
  Command,
  Diagnostic,
  OptionalVersionedTextDocumentIdentifier,
  Range,
  TextEdit,
  WorkspaceEdit,
} from 'vscode-languageserver'
import type { TextDocument } from 'vscode-languageserver-textdocument'
import type { AskModel } from '../../assistant/ask.ts'
import type { Code, Edit } from '../../assistant/code.ts'
import { minimal } from '../../assistant/minimal.ts'
import { HubError } from '../../lib/error.ts'
import type { Client, Session } from '../session.ts'
import type { Locale } from '../texts.ts'

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
  open(): string[]
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
    open: () => session.documents.all().map(each => session.pathOf(each.uri)),
  }
}

/** Edits of one document, from offsets to ranges; of each what really changes. */
export function inDocument(document: TextDocument, edits: readonly Edit[]): Result {
  return {
    edits: [
      {
        uri: document.uri,
        version: document.version,
        edits: edits
          .flatMap(edit => minimal(document.getText(), edit))
          .map(({ start, end, text }) => ({
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
