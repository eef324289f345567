/** Reads a model's output piece by piece: text goes out as soon as it can no longer be the beginning of a marker. */
import { randomInt } from 'node:crypto'
import type { ToolCallDelta } from '../../wire/worker.ts'

export type ParsedDelta = { content: string; reasoning: string; toolCalls: ToolCallDelta[] }
/** `end()` gives out what was held back. Malformed output is content; neither function throws. */
export type ChatParser = { push(text: string): ParsedDelta; end(): ParsedDelta }

/** One state reads what it can and names the next one; `undefined` waits for more text. */
export type State = (input: Input, output: Output) => State | undefined

export class Input {
  ended = false
  #text = ''

  push(text: string): void {
    this.#text += text
  }

  /** All that is unread. */
  get text(): string {
    return this.#text
  }

  skip(characters: number): void {
    this.#text = this.#text.slice(characters)
  }

  /** Puts text that was read back in front. */
  unread(text: string): void {
    this.#text = text + this.#text
  }

  /** Text up to the first of the markers, which is read as well; without one, all that cannot begin a marker. */
  until(markers: string[]): { text: string; marker?: string } {
    let at = -1
    let found: string | undefined
    for (const marker of markers) {
      const index = this.#text.indexOf(marker)
      if (index === -1) continue
      if (at === -1 || index < at || (index === at && marker.length > found!.length)) {
        at = index
        found = marker
      }
    }
    if (found !== undefined) {
      const text = this.#text.slice(0, at)
      this.skip(at + found.length)
      return { text, marker: found }
    }
    const held = this.ended ? 0 : Math.max(0, ...markers.map(marker => overlap(this.#text, marker)))
    const text = this.#text.slice(0, this.#text.length - held)
    this.skip(text.length)
    return { text }
  }

  /** The marker that the unread text begins with, white space before it aside. `undefined`: too early to say. */
  peek(markers: string[]): string | false | undefined {
    const bare = this.#text.trimStart()
    const found = markers.find(marker => bare.startsWith(marker))
    if (found !== undefined) return found
    if (this.ended) return false
    return markers.some(marker => marker.startsWith(bare)) ? undefined : false
  }

  /** The same; a marker that is found is read together with the space before it. */
  startsWith(markers: string[]): string | false | undefined {
    const found = this.peek(markers)
    if (typeof found === 'string') this.skip(this.#text.length - this.#text.trimStart().length + found.length)
    return found
  }
}

/** Length of the longest end of `text` that a marker could begin with. */
function overlap(text: string, marker: string): number {
  for (let length = Math.min(text.length, marker.length - 1); length > 0; length--) {
    if (text.endsWith(marker.slice(0, length))) return length
  }
  return 0
}

/** What was read, in the order in which it came. White space at the end of a part waits until something follows it. */
export class Output {
  #delta: ParsedDelta = { content: '', reasoning: '', toolCalls: [] }
  #calls = 0
  #open = false
  #wrote = false
  #space = ''
  #spaceOf: 'content' | 'reasoning' = 'content'
  /** White space at the beginning of what comes next is dropped (it belongs to the marker before it). */
  #trimStart = false
  #makeId: () => string

  constructor(makeId: () => string) {
    this.#makeId = makeId
  }

  content(text: string): void {
    this.#part('content', text)
  }

  reasoning(text: string): void {
    this.#part('reasoning', text)
  }

  /** A part ended: white space at its end and at the beginning of the next one belongs to the markers between them. */
  boundary(): void {
    this.#space = ''
    this.#trimStart = true
  }

  startCall(name: string, id: string = this.#makeId()): void {
    this.boundary()
    this.#delta.toolCalls.push({ index: this.#calls++, id, name, arguments: '' })
    this.#open = true
    this.#wrote = false
  }

  arguments(text: string): void {
    if (text === '' || !this.#open) return
    this.#wrote = true
    const last = this.#delta.toolCalls.at(-1)
    if (last !== undefined && last.index === this.#calls - 1) last.arguments = (last.arguments ?? '') + text
    else this.#delta.toolCalls.push({ index: this.#calls - 1, arguments: text })
  }

  /** A call without arguments is a call with an empty object. */
  endCall(): void {
    if (this.#open && !this.#wrote) this.arguments('{}')
    this.#open = false
    this.boundary()
  }

  take(): ParsedDelta {
    const delta = this.#delta
    this.#delta = { content: '', reasoning: '', toolCalls: [] }
    return delta
  }

  /** Gives out the white space that nothing followed. */
  flush(): void {
    this.#delta[this.#spaceOf] += this.#space
    this.#space = ''
  }

  #part(kind: 'content' | 'reasoning', text: string): void {
    const rest = this.#trimStart ? text.trimStart() : text
    if (rest === '') return
    this.#trimStart = false
    if (this.#spaceOf !== kind) this.flush()
    this.#spaceOf = kind
    const all = this.#space + rest
    const body = all.trimEnd()
    this.#delta[kind] += body
    this.#space = all.slice(body.length)
  }
}

/** `idLength`: calls get ids of so many letters and digits; absent: `call_` and 24 of them. */
export function createParser(start: State, idLength?: number): ChatParser {
  const input = new Input()
  const output = new Output(() => (idLength === undefined ? makeId('call_', 24) : makeId('', idLength)))
  let state = start
  const run = () => {
    for (;;) {
      const next = state(input, output)
      if (next === undefined) return
      state = next
    }
  }
  return {
    push(text) {
      input.push(text)
      run()
      return output.take()
    },
    end() {
      input.ended = true
      run()
      output.content(input.text)
      input.skip(input.text.length)
      output.flush()
      return output.take()
    },
  }
}

const LETTERS = 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789'

function makeId(prefix: string, length: number): string {
  let id = prefix
  for (let index = 0; index < length; index++) id += LETTERS[randomInt(LETTERS.length)]
  return id
}
