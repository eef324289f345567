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
  /** Their URIs by what tells files apart. */
  readonly #uris = new Map<string, string>()

  get(uri: string): TextDocument | undefined {
    return this.#documents.get(uri)
  }

  /** The open document of a file, however its URI is spelled. */
  find(uri: string): TextDocument | undefined {
    return this.#documents.get(uri) ?? this.#documents.get(this.#uris.get(keyOf(uri)) ?? '')
  }

  all(): TextDocument[] {
    return [...this.#documents.values()]
  }

  /** @throws TypeError for what is no document: nothing of it is taken */
  open({ textDocument: { uri, languageId, version, text } }: DidOpenTextDocumentParams): TextDocument {
    if (typeof uri !== 'string' || typeof text !== 'string') throw new TypeError('a document has a URI and a text')
    const document = TextDocument.create(uri, String(languageId), version, text)
    this.#documents.set(uri, document)
    this.#uris.set(keyOf(uri), uri)
    return document
  }

  /** @returns the document with the offset behind its last change; undefined for one that is not open */
  change({
    textDocument,
    contentChanges,
  }: DidChangeTextDocumentParams): { document: TextDocument; offset: number } | undefined {
    const document = this.#documents.get(textDocument.uri)
    if (document === undefined) return undefined
    if (!contentChanges.every(({ text }) => typeof text === 'string')) throw new TypeError('a change has a text')
    TextDocument.update(document, contentChanges, textDocument.version)
    return { document, offset: changedUpTo(document, contentChanges) }
  }

  close(uri: string): void {
    this.#documents.delete(uri)
    this.#uris.delete(keyOf(uri))
  }
}

/** Behind the last change: where the cursor most likely is. A change of the whole text says nothing, so it is its end. */
function changedUpTo(document: TextDocument, changes: readonly TextDocumentContentChangeEvent[]): number {
  const last = changes.at(-1)
  if (last === undefined || !('range' in last)) return document.getText().length
  return Math.min(document.offsetAt(last.range.start) + last.text.length, document.getText().length)
}
