/** What becomes of suggestions: taken whole or word by word, typed past, or changed soon after they were taken. */
import type { Place } from './place.ts'

export type Suggestion = {
  id: number
  /**
   * Stands in for the text from `start` to `end`, offsets in the document that was asked about. `start` is the cursor, or where a
   * selected item begins, whose text the suggestion then begins with.
   */
  text: string
  start: number
  end: number
  /** Where it came from; for counting. */
  from: 'cache' | 'running' | 'model'
}

export type Outcome = {
  type: 'accepted' | 'rejected' | 'edited'
  uri: string
  language: string
  path: string
  place: Place
  text: string
  /** What an edited one has become. */
  final?: string
}

export type OutcomeDeps = {
  /** Resolves after so many ms, or at once when the signal aborts. */
  wait(ms: number, signal: AbortSignal): Promise<void>
  outcome?(outcome: Outcome): void
}

/** What the model wrote begins behind `lead` characters of the suggestion, of which `there` stood in the document already. */
type Shown = { suggestion: Suggestion; place: Place; lead: number; there: number }
type Document = {
  /** The candidates of the last request. */
  shown: Shown[]
  /** Characters of them that stand in the document, and how many of those came more than one at a time: taken, not typed. */
  there: number
  taken: number
  /** One that was taken whole, whose fate is watched. */
  watched?: { shown: Shown; stop: AbortController }
  text: string
}

const MOST_SHOWN = 64
/** So long after it was taken a suggestion counts as edited when it is changed. */
const WATCH_MS = 30_000
/** Characters around a taken suggestion by which its place is found again. */
const ANCHOR = 60

export class Outcomes {
  readonly #deps: OutcomeDeps
  readonly #shown = new Map<number, Shown>()
  readonly #documents = new Map<string, Document>()
  readonly counts = { accepted: 0, rejected: 0, edited: 0 }

  constructor(deps: OutcomeDeps) {
    this.#deps = deps
  }

  /** One more candidate, or the first one of a new request. */
  show(shown: Shown, first: boolean): void {
    const { suggestion, place } = shown
    const document = this.#document(place.uri)
    if (first) Object.assign(document, { shown: [], there: shown.there, taken: 0 })
    document.shown.push(shown)
    this.#shown.set(suggestion.id, shown)
    if (this.#shown.size > MOST_SHOWN) this.#shown.delete(this.#shown.keys().next().value!)
  }

  /** The document changed; `offset` is behind the change. */
  edited(uri: string, text: string, offset: number): void {
    const document = this.#documents.get(uri)
    if (document === undefined) return
    document.text = text
    const [first] = document.shown
    if (first === undefined) return
    const { start } = first.suggestion
    const typed = text.slice(start, offset)
    const fitting = offset < start ? [] : document.shown.filter(each => each.suggestion.text.startsWith(typed))
    if (fitting.length > 0) {
      // Whoever takes a word puts in several characters at once; whoever types puts in one.
      if (typed.length - document.there > 1) document.taken = typed.length
      document.there = typed.length
      return
    }
    const known = document.shown.filter(({ suggestion }) => this.#shown.delete(suggestion.id))
    const partly = document.taken > first.lead
    Object.assign(document, { shown: [] })
    if (known[0] === undefined) return
    const { place, suggestion, lead } = known[0]
    if (partly) this.#report('accepted', place, suggestion.text.slice(lead, document.taken))
    else this.#report('rejected', place, suggestion.text.slice(lead))
  }

  /** A suggestion was taken, whole or so many UTF-16 units of it. */
  accepted(id: number, length?: number): void {
    const shown = this.#shown.get(id)
    if (shown === undefined) return
    const { suggestion, place, lead } = shown
    const document = this.#document(place.uri)
    if (length !== undefined && length < suggestion.text.length) {
      // It is counted once, when it is clear how much was taken.
      document.taken = Math.max(document.taken, length)
      return
    }
    this.#shown.delete(id)
    for (const other of document.shown) this.#shown.delete(other.suggestion.id)
    document.shown = []
    this.#report('accepted', place, suggestion.text.slice(lead))
    this.#watch(document, shown)
  }

  closed(uri: string): void {
    const document = this.#documents.get(uri)
    if (document === undefined) return
    document.watched?.stop.abort()
    for (const { suggestion } of document.shown) this.#shown.delete(suggestion.id)
    this.#documents.delete(uri)
  }

  close(): void {
    for (const uri of [...this.#documents.keys()]) this.closed(uri)
  }

  #watch(document: Document, shown: Shown): void {
    document.watched?.stop.abort()
    const watched = { shown, stop: new AbortController() }
    document.watched = watched
    void this.#deps.wait(WATCH_MS, watched.stop.signal).then(() => {
      if (document.watched === watched) delete document.watched
      if (!watched.stop.signal.aborted) this.#settle(document.text, shown)
    })
  }

  /** Looks at what stands where a suggestion was taken. */
  #settle(text: string, { suggestion, place, lead }: Shown): void {
    const taken = suggestion.text.slice(lead)
    const start = suggestion.start + lead
    const front = (place.before + place.linePrefix).slice(-ANCHOR)
    if (text.slice(start - front.length, start) !== front) return
    const rear = (place.lineSuffix.slice(suggestion.end - suggestion.start) + place.after).slice(0, ANCHOR)
    const end = rear === '' ? text.length : text.indexOf(rear, start)
    const final = text.slice(start, end)
    // What was written behind it changes nothing of it.
    if (end < 0 || final.startsWith(taken) || final.length > 4 * taken.length + 200) return
    this.#report('edited', place, taken, final)
  }

  #report(type: Outcome['type'], place: Place, text: string, final?: string): void {
    this.counts[type]++
    const { uri, language, path } = place
    this.#deps.outcome?.({ type, uri, language, path, place, text, ...(final !== undefined && { final }) })
  }

  #document(uri: string): Document {
    let document = this.#documents.get(uri)
    if (document === undefined) {
      document = { shown: [], there: 0, taken: 0, text: '' }
      this.#documents.set(uri, document)
    }
    return document
  }
}
