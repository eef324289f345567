/** Reads JSON character by character: where a value ends, and the calls that models write as JSON objects. */
import type { Output } from './parser.ts'

/** After a character: `more` is needed, the value is `done` with it, was done `before` it, or the text is `broken`. */
export type Progress = 'more' | 'done' | 'before' | 'broken'

type Expect = 'value' | 'first item' | 'first key' | 'key' | 'colon' | 'next'

const NUMBER = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/
const NUMBER_START = /^-?(?:(?:0|[1-9]\d*)(?:\.\d*)?(?:(?<=\d)[eE][+-]?\d*)?)?$/
const WORDS = ['true', 'false', 'null']

/** Follows one JSON value strictly, so that what it accepts parses. */
export class JsonValue {
  #stack: ('{' | '[')[] = []
  #expect: Expect = 'value'
  /** Inside a text: how many characters of an escape are still to come, else -1 outside. */
  #text = false
  #key = false
  #escape = 0
  #bare = ''

  feed(character: string): Progress {
    if (this.#text) return this.#feedText(character)
    if (this.#bare !== '') {
      const longer = this.#bare + character
      if (NUMBER_START.test(longer) || WORDS.some(word => word.startsWith(longer))) {
        this.#bare = longer
        return 'more'
      }
      if (!NUMBER.test(this.#bare) && !WORDS.includes(this.#bare)) return 'broken'
      this.#bare = ''
      if (this.#close() === 'done') return 'before'
    }
    if (' \t\n\r'.includes(character)) return 'more'
    if (character === '"') {
      if (this.#expect === 'key' || this.#expect === 'first key') this.#key = true
      else if (this.#expect === 'value' || this.#expect === 'first item') this.#key = false
      else return 'broken'
      this.#text = true
      return 'more'
    }
    if (this.#expect === 'value' || this.#expect === 'first item') {
      if (character === '{' || character === '[') {
        this.#stack.push(character)
        this.#expect = character === '{' ? 'first key' : 'first item'
        return 'more'
      }
      if (character === ']' && this.#expect === 'first item') return this.#pop('[')
      if (!NUMBER_START.test(character) && !WORDS.some(word => word.startsWith(character))) return 'broken'
      this.#bare = character
      return 'more'
    }
    if (this.#expect === 'first key' && character === '}') return this.#pop('{')
    if (this.#expect === 'colon' && character === ':') {
      this.#expect = 'value'
      return 'more'
    }
    if (this.#expect === 'next') {
      if (character === ',') {
        this.#expect = this.#stack.at(-1) === '{' ? 'key' : 'value'
        return 'more'
      }
      if (character === '}') return this.#pop('{')
      if (character === ']') return this.#pop('[')
    }
    return 'broken'
  }

  #feedText(character: string): Progress {
    if (this.#escape > 0) {
      if (this.#escape === 1 && character === 'u') this.#escape = 5
      else if (this.#escape === 1) {
        if (!'"\\/bfnrt'.includes(character)) return 'broken'
        this.#escape = 0
      } else {
        if (!/[0-9a-fA-F]/.test(character)) return 'broken'
        this.#escape = this.#escape === 2 ? 0 : this.#escape - 1
      }
      return 'more'
    }
    if (character === '\\') this.#escape = 1
    else if (character === '"') {
      this.#text = false
      if (!this.#key) return this.#close()
      this.#expect = 'colon'
    } else if (character < ' ') return 'broken'
    return 'more'
  }

  #pop(open: '{' | '['): Progress {
    if (this.#stack.pop() !== open) return 'broken'
    return this.#close()
  }

  #close(): Progress {
    this.#expect = 'next'
    return this.#stack.length === 0 ? 'done' : 'more'
  }
}

/** Names under which a call's object says what it is. */
export type CallKeys = {
  name: string
  arguments: string[]
  id?: string /** the id comes before the name */
  idFirst?: boolean
}

/**
 * Reads one call written as a JSON object and gives it out while it comes.
 * What it has read before it gave anything out is kept in `raw`, so that a text that is no call can become content.
 */
export class JsonCall {
  raw = ''
  started = false
  #keys: CallKeys
  #accept: (name: string) => boolean
  #at: 'open' | 'key' | 'key text' | 'colon' | 'value' | 'comma' = 'open'
  #key = ''
  #value = ''
  #reader = new JsonValue()
  #name: string | undefined
  #id: string | undefined
  /** Arguments read before the name was. */
  #waiting: string | undefined
  #first = true

  constructor(keys: CallKeys, accept: (name: string) => boolean) {
    this.#keys = keys
    this.#accept = accept
  }

  feed(character: string, output: Output): Progress {
    const progress = this.#feed(character, output)
    if (progress === 'broken' || (progress === 'done' && !this.started && !this.#start(output))) return 'broken'
    this.raw += character
    if (progress === 'done') output.endCall()
    return progress
  }

  #feed(character: string, output: Output): Progress {
    const space = ' \t\n\r'.includes(character)
    switch (this.#at) {
      case 'open':
        if (space) return 'more'
        if (character !== '{') return 'broken'
        this.#at = 'key'
        return 'more'
      case 'key':
        if (space) return 'more'
        if (character === '}' && this.#first) return 'done'
        if (character !== '"') return 'broken'
        this.#first = false
        this.#key = ''
        this.#at = 'key text'
        return 'more'
      case 'key text':
        // No key that counts holds an escape; any other key is read over.
        if (character === '"' && !this.#key.endsWith('\\')) this.#at = 'colon'
        else if (character < ' ') return 'broken'
        else this.#key += character
        return 'more'
      case 'colon':
        if (space) return 'more'
        if (character !== ':') return 'broken'
        this.#at = 'value'
        this.#value = ''
        this.#reader = new JsonValue()
        return 'more'
      case 'value': {
        const progress = this.#reader.feed(character)
        if (progress === 'broken') return 'broken'
        if (progress !== 'before' && !(space && this.#value === '')) this.#piece(character, output)
        if (progress === 'more') return 'more'
        if (!this.#finish(output)) return 'broken'
        this.#at = 'comma'
        return progress === 'before' ? this.#feed(character, output) : 'more'
      }
      case 'comma':
        if (space) return 'more'
        if (character === ',') {
          this.#at = 'key'
          return 'more'
        }
        return character === '}' ? 'done' : 'broken'
    }
  }

  /** One character of the value under the current key. An object of arguments streams; all else is collected. */
  #piece(character: string, output: Output): void {
    const streams = this.#keys.arguments.includes(this.#key) && !this.#value.startsWith('"') && character !== ''
    this.#value += character
    if (!streams || this.#value[0] !== '{') return
    if (!this.started && this.#name !== undefined && this.#accept(this.#name)) this.#start(output)
    if (this.started) output.arguments(character)
  }

  #finish(output: Output): boolean {
    if (this.#key === this.#keys.name || (this.#keys.id !== undefined && this.#key === this.#keys.id)) {
      const value: unknown = JSON.parse(this.#value)
      if (this.#key === this.#keys.name) {
        if (typeof value !== 'string' || !this.#accept(value)) return false
        this.#name = value
        if (this.#waiting !== undefined) this.#start(output)
      } else if (typeof value === 'string' && value !== '') this.#id = value
    } else if (this.#keys.arguments.includes(this.#key) && !this.started) {
      const value: unknown = JSON.parse(this.#value)
      // Some models write the arguments as a text of JSON.
      const text = typeof value === 'string' ? value : this.#value
      if (value !== null && !isObject(text)) return false
      this.#waiting = value === null ? '{}' : text
      if (this.#name !== undefined) this.#start(output)
    }
    return true
  }

  #start(output: Output): boolean {
    if (this.#name === undefined) return false
    output.startCall(this.#name, this.#id)
    this.started = true
    if (this.#waiting !== undefined) output.arguments(this.#waiting)
    return true
  }
}

function isObject(text: string): boolean {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null && !Array.isArray(value)
  } catch {
    return false
  }
}
