/** Fills the index of the workspace's files while nobody waits, and keeps it up to date: open documents as they are, others as they are on disk. */
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { TextDocument } from 'vscode-languageserver-textdocument'
import { isKnownCode } from '../assistant/declarations.ts'
import { Symbols } from '../assistant/symbols.ts'
import { HubError } from '../lib/error.ts'
import { fileUri, keyOf, localPath, readText, walkFiles } from './files.ts'
import type { Session } from './session.ts'

/** The first look at a workspace comes so long after the first document was opened. */
const START_MS = 3000
/** Between two files, so that the index costs a part of one core and no keystroke waits. */
const PAUSE_MS = 4
/** After so long the folders are looked at again; only what changed is read. */
const AGAIN_MS = 5 * 60_000
const MOST_BYTES = 256 * 1024

export class Indexer {
  readonly symbols = new Symbols()
  readonly #session: Session
  /** Of the files on disk, by key: where they are, and when they were changed last. */
  readonly #known = new Map<string, { path: string; file: string; stamp: string }>()
  /** Versions of the open documents that are in the index. */
  readonly #indexed = new WeakMap<TextDocument, number>()
  /** Those that were looked through last; the session has another list when one came or went. */
  #folders: readonly string[] | undefined
  #walking = false
  #nextMs = 0

  constructor(session: Session) {
    this.#session = session
  }

  /** A document is as the editor has it now. What is known of it already costs nothing. */
  document(document: TextDocument): void {
    const key = keyOf(document.uri)
    const path = this.#session.pathOf(document.uri)
    const isKnown = this.#indexed.get(document) === document.version && this.symbols.has(key)
    if (isKnown || !isKnownCode(path)) return
    const text = document.getText()
    if (text.length > MOST_BYTES) return
    this.#indexed.set(document, document.version)
    this.symbols.update(key, path, text)
  }

  /** A document was closed: a file of the workspace is read again at the next look, since it may not have been saved; another is forgotten. */
  closed(uri: string): void {
    const key = keyOf(uri)
    const known = this.#known.get(key)
    if (known === undefined) this.symbols.remove(key)
    else known.stamp = ''
  }

  /** Looks through the folders of this machine, unless that was done lately. */
  refresh(): void {
    const { deps, closed, folders } = this.#session
    if (this.#walking || (folders === this.#folders && deps.now() < this.#nextMs)) return
    this.#walking = true
    void deps
      .wait(this.#known.size === 0 ? START_MS : 0, closed)
      .then(() => this.#walk(closed))
      .catch((thrown: unknown) =>
        deps.log.debug('the workspace was not indexed', { reason: HubError.from(thrown).message }),
      )
      .finally(() => {
        this.#walking = false
        this.#nextMs = deps.now() + AGAIN_MS
      })
  }

  /** Texts of the files that speak of the same things as a text; `uri` is a key, and so are those that it gives. */
  async similar(
    uri: string,
    around: string,
    signal: AbortSignal,
  ): Promise<{ uri: string; path: string; text: string }[]> {
    const found: { uri: string; path: string; text: string }[] = []
    for (const { uri: key, path } of await this.symbols.similar(uri, around, signal)) {
      const file = this.#known.get(key)?.file
      const text =
        this.#session.documents.find(key)?.getText() ?? (file === undefined ? undefined : await readText(file))
      if (text !== undefined) found.push({ uri: key, path, text })
    }
    return found
  }

  async #walk(signal: AbortSignal): Promise<void> {
    const { deps, documents, folders } = this.#session
    const seen = new Set<string>()
    this.#folders = folders
    for (const folder of folders) {
      const local = localPath(folder)
      if (local === undefined) continue
      for await (const path of walkFiles(local, signal)) {
        if (signal.aborted) return
        if (!isKnownCode(path)) continue
        const uri = fileUri(local, path)
        const key = keyOf(uri)
        seen.add(key)
        const file = join(local, ...path.split('/'))
        const facts = await stat(file).catch(() => undefined)
        const stamp = `${facts?.mtimeMs} ${facts?.size}`
        if (facts === undefined || facts.size > MOST_BYTES || this.#known.get(key)?.stamp === stamp) continue
        this.#known.set(key, { path, file, stamp })
        if (documents.find(uri) !== undefined) continue
        const text = await readText(file)
        if (text !== undefined) this.symbols.update(key, path, text)
        await deps.wait(PAUSE_MS, signal)
      }
    }
    for (const key of [...this.#known.keys()]) {
      if (seen.has(key)) continue
      this.#known.delete(key)
      if (documents.find(key) === undefined) this.symbols.remove(key)
    }
  }
}
