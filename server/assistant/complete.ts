/**
 * Inline completion, free of any editor's types: from a document and a cursor to what is shown behind it. One generation at most runs
 * for a document; what is typed into a running or an earlier suggestion is answered from it, and everything else ends it at once.
 */
import { HubError } from '../lib/error.ts'
import { afterTyped, CompletionCache, type Made } from './completion_cache.ts'
import { isEnough, toGhost } from './ghost.ts'
import { type Outcome, Outcomes, type Suggestion } from './outcomes.ts'
import { type Place, placeAt } from './place.ts'
import { Rhythm } from './rhythm.ts'
import { type Chunk, Surroundings } from './surroundings.ts'

export type CompletionAsk = {
  uri: string
  language: string
  /** Of the file in its workspace, with forward slashes. */
  path: string
  /** The whole document as it is now, and the cursor in it in UTF-16 units. */
  text: string
  offset: number
  /** False when the user asked for it. */
  automatic: boolean
  /** Wanted at most, when the user asked; 1 by default. */
  candidates?: number
  /** The item that stands selected in the editor's open list: it would put `text` in the place of what is there from `start` to `end`. */
  selected?: { start: number; end: number; text: string }
}

export type InfillAsk = {
  place: Place
  extra: Chunk[]
  maxTokens: number
  /** Time that generating may take after the prompt was read, in ms. */
  budgetMs: number
  /** Columns below which a line's indentation ends the generation; 0 for none. */
  minIndent: number
  /** 0 takes the likeliest words. */
  temperature: number
}

/** `end` comes last: whether the model ended by itself, or a limit did. */
export type InfillPiece = { text: string } | { end: 'stop' | 'length' }

export type CompleterDeps = {
  infill(ask: InfillAsk, signal: AbortSignal): AsyncIterable<InfillPiece>
  /** What is known of files that nobody looked at. */
  workspace?: {
    declarations(place: { uri: string; path: string; head: string; near: string; line: string }): Chunk[]
    similar(uri: string, around: string, signal: AbortSignal): Promise<{ uri: string; path: string; text: string }[]>
  }
  /** Has the model read the surroundings ahead of the next request. */
  warm?(ask: InfillAsk, signal: AbortSignal): Promise<void>
  /** Monotonic, in ms. */
  now(): number
  /** Resolves after so many ms, or at once when the signal aborts. */
  wait(ms: number, signal: AbortSignal): Promise<void>
  settings(): CompletionSettings
  /** A suggestion was taken, or typed past; `text` is what had been shown. */
  outcome?(outcome: Outcome): void
}

export type CompletionSettings = {
  maxTokens: number
  budgetMs: number /** Whether the next suggestion is computed ahead. */
  ahead: boolean
}
export type CompletionCounts = {
  asked: number
  cached: number
  reused: number
  generated: number
  /** Characters that the model wrote, shown or not. */
  written: number
  cancelled: number
  accepted: number
  rejected: number
  edited: number
}

/** Text before a generation's place that must be unchanged for it to be used. */
const TAIL = 400
/** A generation that nobody waits for any more ends after so long. */
const ORPHAN_MS = 3000
const MOST_TYPED = 512
/** Where the imports of a file stand. */
const HEAD = 8000

type Document = { rhythm: Rhythm; generation?: Generation }

export class Completer {
  readonly #deps: CompleterDeps
  readonly #cache = new CompletionCache()
  readonly #surroundings = new Surroundings()
  readonly #documents = new Map<string, Document>()
  readonly #outcomes: Outcomes
  #lastId = 0
  readonly #counts = {
    asked: 0,
    cached: 0,
    reused: 0,
    generated: 0,
    written: 0,
    cancelled: 0,
  }

  constructor(deps: CompleterDeps) {
    this.#deps = deps
    this.#outcomes = new Outcomes(deps)
  }

  get counts(): CompletionCounts {
    return { ...this.#counts, ...this.#outcomes.counts }
  }

  /**
   * Suggestions for the cursor; an empty list where none is worth showing, or when the signal aborted. A generation that was begun
   * for an aborted request goes on for a moment, since the next keystroke may fit into it.
   * @throws HubError of the model
   */
  async complete({ selected, ...asked }: CompletionAsk, signal: AbortSignal): Promise<Suggestion[]> {
    // Beside an open list the editor shows only what goes on from the selected item: the model is asked as if it were taken.
    const ask = selected === undefined ? asked : take(asked, selected)
    const place = placeAt(ask.text, ask.offset, ask, ask.automatic)
    const document = this.#document(ask.uri)
    if (place === undefined) {
      this.#end(document)
      return []
    }
    this.#counts.asked++
    const wanted = ask.automatic ? 1 : Math.max(1, ask.candidates ?? 1)
    const first = await this.#first(ask, place, document, signal)
    if (signal.aborted) return []
    const suggestions = first === undefined ? [] : [this.#show(ask, place, first.ghost, first.from, selected, true)]
    for (let index = 1; index < wanted && !signal.aborted; index++) {
      const generation = this.#start(document, ask, place, 0.4 + 0.3 * index)
      const made = await generation.until(() => false, signal)
      if (made === undefined || signal.aborted) break
      const ghost = toGhost(made.raw, place, made.complete)
      if (ghost === undefined || suggestions.some(({ text }) => text === ghost.text)) continue
      suggestions.push(this.#show(ask, place, ghost, 'model', selected, suggestions.length === 0))
    }
    if (ask.automatic && suggestions[0] !== undefined) this.#ahead(document, asked, suggestions[0])
    return suggestions
  }

  /** The document changed: one keystroke more, and the end of a generation that no longer fits. `offset` is behind the change. */
  edited(uri: string, text: string, offset: number): void {
    const document = this.#document(uri)
    document.rhythm.keystroke(this.#deps.now())
    const { generation } = document
    const fits = generation?.rest(text, offset) !== undefined || generation?.isAhead(text, offset) === true
    if (!fits) this.#end(document)
    this.#outcomes.edited(uri, text, offset)
  }

  /** The user looks at or works on this place; what stands there may help elsewhere. `line` counts from 0. */
  visited(file: { uri: string; path: string }, text: string, line: number): void {
    this.#surroundings.visited(file.uri, file.path, text, line)
  }

  /** Called while the user rests at a place: chooses what else the model is told, and has it read ahead. */
  async rest(ask: Omit<CompletionAsk, 'automatic'>, signal: AbortSignal): Promise<void> {
    const place = placeAt(ask.text, ask.offset, ask, false)
    if (place === undefined || this.#document(ask.uri).generation !== undefined) return
    const { before, after, uri, path } = place
    const line = place.linePrefix + place.lineSuffix
    const around = before.slice(-2000) + line + after.slice(0, 1000)
    const { workspace } = this.#deps
    for (const found of (await workspace?.similar(uri, around, signal)) ?? []) {
      this.#surroundings.found(found.uri, found.path, found.text, around)
    }
    if (signal.aborted) return
    // Read from its end, the nearest to the cursor comes first.
    const near = `${after.slice(0, 1000)}\n${before.slice(-2000)}${line}`
    const declared = workspace?.declarations({ uri, path, head: ask.text.slice(0, HEAD), near, line }) ?? []
    if (this.#surroundings.choose(uri, around, declared)) await this.#deps.warm?.(this.#infill(place, 0), signal)
  }

  /** A shown suggestion was taken, whole or (`length` UTF-16 units of it) in part. */
  accepted(id: number, length?: number): void {
    this.#outcomes.accepted(id, length)
  }

  closed(uri: string): void {
    const document = this.#documents.get(uri)
    if (document !== undefined) this.#end(document)
    this.#documents.delete(uri)
    this.#outcomes.closed(uri)
    this.#surroundings.forget(uri)
  }

  /** Ends every generation. */
  close(): void {
    for (const document of this.#documents.values()) this.#end(document)
    this.#documents.clear()
    this.#outcomes.close()
  }

  async #first(
    ask: CompletionAsk,
    place: Place,
    document: Document,
    signal: AbortSignal,
  ): Promise<{ ghost: { text: string; replace: number }; from: Suggestion['from'] } | undefined> {
    const cached = this.#cache.find(place)
    const ghost = cached && toGhost(cached.raw, place, cached.complete)
    if (ghost !== undefined) {
      this.#counts.cached++
      return { ghost, from: 'cache' }
    }
    let generation = document.generation
    let from: Suggestion['from'] = 'running'
    if (generation === undefined || generation.rest(ask.text, ask.offset) === undefined) {
      this.#end(document)
      if (ask.automatic) {
        const delay = document.rhythm.delayMs(place, this.#deps.now())
        if (delay > 0) await this.#deps.wait(delay, signal)
        // A newer request may have begun one meanwhile, or the document was closed.
        const isClosed = this.#documents.get(ask.uri) !== document
        if (signal.aborted || isClosed || document.generation !== undefined) return undefined
      }
      if (signal.aborted) return undefined
      generation = this.#start(document, ask, place, 0)
      from = 'model'
    } else this.#counts.reused++
    const current = generation
    const rest = () => current.rest(ask.text, ask.offset)
    const made = await current.until(() => isEnough(rest() ?? '', place), signal)
    if (made === undefined) return undefined
    const left = rest()
    const shaped = left === undefined ? undefined : toGhost(left, place, made.complete)
    return shaped && { ghost: shaped, from }
  }

  #start(document: Document, ask: { text: string; offset: number }, place: Place, temperature: number): Generation {
    this.#end(document)
    this.#counts.generated++
    const begun = this.#deps.now()
    const ended = (made: Made | undefined, written: number): void => {
      this.#counts.written += written
      if (document.generation === generation) delete document.generation
      if (made === undefined) return
      document.rhythm.answered(this.#deps.now() - begun)
      if (temperature === 0) this.#cache.put(place, made)
    }
    const generation = new Generation(ask, place, this.#deps, this.#infill(place, temperature), ended)
    document.generation = generation
    return generation
  }

  /** The suggestion that would follow if this one were taken. */
  #ahead(document: Document, ask: CompletionAsk, { text, start, end }: Suggestion): void {
    if (!this.#deps.settings().ahead || document.generation !== undefined) return
    const then = take(ask, { start, end, text })
    const place = placeAt(then.text, then.offset, ask, true)
    if (place === undefined || this.#cache.find(place) !== undefined) return
    this.#start(document, then, place, 0)
  }

  #infill(place: Place, temperature: number): InfillAsk {
    const { maxTokens, budgetMs } = this.#deps.settings()
    return {
      place,
      extra: this.#surroundings.given(place.uri),
      // A line is seldom longer, and the model is free sooner.
      maxTokens: place.reach === 'line' ? Math.min(maxTokens, 48) : maxTokens,
      budgetMs,
      minIndent: place.reach === 'block' ? place.indent : 0,
      temperature,
    }
  }

  #show(
    ask: CompletionAsk,
    place: Place,
    ghost: { text: string; replace: number },
    from: Suggestion['from'],
    selected: CompletionAsk['selected'],
    first: boolean,
  ): Suggestion {
    const { start, end, text } = selected ?? { start: ask.offset, end: ask.offset, text: '' }
    const suggestion = { id: ++this.#lastId, text: text + ghost.text, start, end: end + ghost.replace, from }
    this.#outcomes.show({ suggestion, place, lead: text.length, there: end - start }, first)
    return suggestion
  }

  #document(uri: string): Document {
    let document = this.#documents.get(uri)
    if (document === undefined) {
      document = { rhythm: new Rhythm() }
      this.#documents.set(uri, document)
    }
    return document
  }

  #end(document: Document): void {
    if (document.generation === undefined) return
    this.#counts.cancelled++
    document.generation.cancel()
    delete document.generation
  }
}

/** The document as it would be with the selected item taken. */
function take(ask: CompletionAsk, { start, end, text }: NonNullable<CompletionAsk['selected']>): CompletionAsk {
  return { ...ask, text: ask.text.slice(0, start) + text + ask.text.slice(end), offset: start + text.length }
}

/** One run of the model for one place, which several requests may follow while the user types into it. */
class Generation {
  readonly #place: Place
  readonly #offset: number
  readonly #tail: string
  readonly #deps: CompleterDeps
  readonly #controller = new AbortController()
  #raw = ''
  #made: Made | undefined
  #error: unknown
  #running = true
  #cancelled = false
  #followers = 0
  #changed = Promise.withResolvers<void>()

  constructor(
    ask: { text: string; offset: number },
    place: Place,
    deps: CompleterDeps,
    infill: InfillAsk,
    ended: (made: Made | undefined, written: number) => void,
  ) {
    this.#place = place
    this.#offset = ask.offset
    this.#tail = ask.text.slice(Math.max(0, ask.offset - TAIL), ask.offset)
    this.#deps = deps
    void this.#run(infill).then(() => {
      this.#running = false
      ended(this.#made, this.#raw.length)
      this.#changed.resolve()
    })
  }

  /** What this generation has for a cursor, perhaps nothing yet; undefined when the document no longer fits it. */
  rest(text: string, offset: number): string | undefined {
    if (offset < this.#offset || offset - this.#offset > MOST_TYPED) return undefined
    if (text.slice(this.#offset - this.#tail.length, this.#offset) !== this.#tail) return undefined
    const typed = text.slice(this.#offset, offset).replaceAll('\r', '')
    const rest = afterTyped(this.#raw, typed)
    if (rest !== undefined) return rest
    return this.#running && typed.startsWith(this.#raw) ? '' : undefined
  }

  /** Whether it was begun for what the document becomes when the user types on towards it. */
  isAhead(text: string, offset: number): boolean {
    const missing = this.#offset - offset
    if (missing <= 0 || missing >= this.#tail.length) return false
    const known = this.#tail.slice(0, -missing)
    return text.slice(offset - known.length, offset) === known
  }

  /** Waits until it ended or has enough. @returns undefined when it was cancelled, or the signal aborted */
  async until(enough: () => boolean, signal: AbortSignal): Promise<Made | undefined> {
    this.#followers++
    const left = () => {
      this.#followers--
      if (this.#followers === 0 && this.#running) void this.#endOrphan()
    }
    const aborted = Promise.withResolvers<void>()
    const abort = () => aborted.resolve()
    signal.addEventListener('abort', abort, { once: true })
    try {
      while (this.#running && !enough() && !signal.aborted) {
        await Promise.race([this.#changed.promise, aborted.promise])
      }
      if (this.#error !== undefined && !signal.aborted) throw this.#error
      if (signal.aborted || this.#cancelled) return undefined
      return this.#made ?? { raw: this.#raw, complete: true }
    } finally {
      signal.removeEventListener('abort', abort)
      left()
    }
  }

  cancel(): void {
    this.#cancelled = true
    this.#controller.abort()
    this.#running = false
    this.#changed.resolve()
  }

  async #endOrphan(): Promise<void> {
    await this.#deps.wait(ORPHAN_MS, this.#controller.signal)
    if (this.#followers === 0 && this.#running) this.cancel()
  }

  async #run(infill: InfillAsk): Promise<void> {
    const { signal } = this.#controller
    try {
      for await (const piece of this.#deps.infill(infill, signal)) {
        if (signal.aborted) return
        if ('end' in piece) {
          this.#made = { raw: this.#raw, complete: piece.end === 'stop' }
          return
        }
        this.#raw += piece.text
        if (isEnough(this.#raw, this.#place)) {
          this.#made = { raw: this.#raw, complete: true }
          this.#controller.abort()
          return
        }
        const changed = this.#changed
        this.#changed = Promise.withResolvers()
        changed.resolve()
      }
      this.#made = { raw: this.#raw, complete: true }
    } catch (thrown) {
      const error = HubError.from(thrown)
      if (error.code !== 'cancelled' && !signal.aborted) this.#error = error
    }
  }
}
