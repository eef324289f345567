/** The open documents of one client, and where each was changed last. */
import type {
  DidChangeTextDocumentParams,
  DidOpenTextDocumentParams,
  TextDocumentContentChangeEvent,
} from 'vscode-languageserver'
import { TextDocument } from 'vscode-languageserver-textdocument'
import { keyOf } from './files.ts'

export class Documents {
  readonly #documents = new Map<string, TextDocument>()

  get(uri: string): TextDocument | undefined {
    return this.#documents.get(uri)
  }

  /** The open document of a file, however its URI is spelled. */
  find(uri: string): TextDocument | undefined {
    const key = keyOf(uri)
    return this.#documents.get(uri) ?? this.all().find(document => keyOf(document.uri) === key)
  }

  all(): TextDocument[] {
    return [...this.#documents.values()]
  }

  open({ textDocument: { uri, languageId, version, text } }: DidOpenTextDocumentParams): TextDocument {
    const document = TextDocument.create(uri, languageId, version, text)
    this.#documents.set(uri, document)
    return document
  }

  /** @returns the document with the offset behind its last change; undefined for one that is not open */
  change({
    textDocument,
    contentChanges,
  }: DidChangeTextDocumentParams): { document: TextDocument; offset: number } | undefined {
    const document = this.#documents.get(textDocument.uri)
    if (document === undefined) return undefined
    TextDocument.update(document, contentChanges, textDocument.version)
    return { document, offset: changedUpTo(document, contentChanges) }
  }

  close(uri: string): void {
    this.#documents.delete(uri)
  }
}

/** Behind the last change: where the cursor most likely is. A change of the whole text says nothing, so it is its end. */
function changedUpTo(document: TextDocument, changes: readonly TextDocumentContentChangeEvent[]): number {
  const last = changes.at(-1)
  if (last === undefined || !('range' in last)) return document.getText().length
  return Math.min(document.offsetAt(last.range.start) + last.text.length, document.getText().length)
}
