/** Inline completion of one connection: keeps the engine informed of what the user does, and asks it. It knows documents by their keys, as the index does. */
import type { InlineCompletionItem, InlineCompletionParams } from 'vscode-languageserver'
import type { TextDocument } from 'vscode-languageserver-textdocument'
import { Completer } from '../assistant/complete.ts'
import { completionModel } from '../assistant/completion_model.ts'
import { HubError } from '../lib/error.ts'
import { Accepted, Visited } from '../wire/editor.ts'
import { keyOf } from './files.ts'
import { Indexer } from './indexer.ts'
import { inlineCompletion } from './inline_completion.ts'
import type { Session } from './session.ts'

/** After so long without a keystroke the user rests, and the surroundings are read. */
const REST_MS = 2500

export class Completions {
  readonly #session: Session
  readonly #completer: Completer
  readonly #indexer: Indexer
  #resting = new AbortController()

  constructor(session: Session) {
    const { deps } = session
    this.#session = session
    this.#indexer = new Indexer(session)
    this.#completer = new Completer({
      workspace: {
        declarations: place => this.#indexer.symbols.declarationsFor(place),
        similar: (uri, around, signal) => this.#indexer.similar(uri, around, signal),
      },
      ...completionModel(signal => deps.models.acquire(session.modelOf('code'), signal)),
      now: deps.now,
      wait: deps.wait,
      settings: () => session.settings.completion,
      outcome(outcome) {
        deps.counted?.(session.settings.completion.model, outcome.type)
        if (session.settings.training.collectCompletions) deps.collect(outcome)
      },
    })
  }

  get counts() {
    return this.#completer.counts
  }

  /** @throws HubError of the model */
  async complete(params: InlineCompletionParams, signal: AbortSignal): Promise<InlineCompletionItem[]> {
    const document = this.#session.documents.get(params.textDocument.uri)
    if (document === undefined) return []
    const { completion } = this.#session.settings
    return inlineCompletion(this.#completer, document, this.#session.pathOf(document.uri), params, completion, signal)
  }

  /** A document was opened or saved. */
  visited(document: TextDocument | undefined): void {
    if (document === undefined) return
    this.#index(document)
    this.#look(document, 0)
  }

  /** The client says where the user looks. */
  looked(value: unknown): void {
    const visited = Visited.safeParse(value)
    const document = visited.success ? this.#session.documents.get(visited.data.uri) : undefined
    if (!visited.success || document === undefined) return
    // Not read for the index now: the user may be typing.
    this.#look(document, visited.data.line)
    this.#restAt(document.uri, document.offsetAt({ line: visited.data.line, character: 0 }))
  }

  /** @param offset behind the change */
  edited(document: TextDocument, offset: number): void {
    this.#completer.edited(keyOf(document.uri), document.getText(), offset)
    this.#restAt(document.uri, offset)
  }

  closed(uri: string): void {
    this.#completer.closed(keyOf(uri))
    this.#indexer.closed(uri)
  }

  accepted(value: unknown): void {
    const taken = Accepted.safeParse(value)
    if (taken.success) this.#completer.accepted(taken.data.id, taken.data.length)
  }

  end(): void {
    this.#resting.abort()
    this.#completer.close()
  }

  #look(document: TextDocument, line: number): void {
    const path = this.#session.pathOf(document.uri)
    this.#completer.visited({ uri: keyOf(document.uri), path }, document.getText(), line)
  }

  #index(document: TextDocument): void {
    if (!this.#session.settings.completion.enabled) return
    this.#indexer.document(document)
    this.#indexer.refresh()
  }

  /** Waits for a pause, then has the model read what surrounds the place. */
  #restAt(uri: string, offset: number): void {
    const { deps, documents, settings } = this.#session
    this.#resting.abort()
    const mine = new AbortController()
    this.#resting = mine
    if (!settings.completion.enabled) return
    void deps
      .wait(REST_MS, mine.signal)
      .then(async () => {
        const document = documents.get(uri)
        if (mine.signal.aborted || document === undefined) return
        this.#index(document)
        const file = { uri: keyOf(uri), language: document.languageId, path: this.#session.pathOf(uri) }
        await this.#completer.rest({ ...file, text: document.getText(), offset }, mine.signal)
      })
      .catch((thrown: unknown) => deps.log.debug('reading ahead failed', { reason: HubError.from(thrown).message }))
  }
}
