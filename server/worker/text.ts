/** From sampled tokens to the text a client sees: whole characters, stop texts, reasoning and tool calls, log probabilities in step. */
import { StringDecoder } from 'node:string_decoder'
import type { TokenLogprob, ToolCallDelta } from '../wire/worker.ts'

/** Reads what the model writes into parts; see template.ts. */
export type Parser = { push(text: string): Parsed; end(): Parsed }
export type Parsed = { content: string; reasoning: string; toolCalls: ToolCallDelta[] }

export type TextDelta = Parsed & { logprobs: TokenLogprob[]; tokens: number[] }

export const plainParser = (): Parser => ({
  push: text => ({ content: text, reasoning: '', toolCalls: [] }),
  end: () => ({ content: '', reasoning: '', toolCalls: [] }),
})

type Pending = { id: number; start: number; logprob: TokenLogprob | undefined }

export class TextStream {
  readonly #decoder = new StringDecoder('utf8')
  readonly #parser: Parser
  readonly #stops: readonly string[]
  readonly #minIndent: number
  /** Decoded, not yet given to the parser: it may be the beginning of a stop text. */
  #held = ''
  /** Characters given to the parser so far. */
  #released = 0
  /** Tokens whose text has not begun to be released. */
  #pending: Pending[] = []
  /** The stop text that ended the stream. */
  stopped: string | undefined
  /** A tool call was opened. */
  calledTool = false

  constructor(options: { parser: Parser; stops: readonly string[]; minIndent?: number }) {
    this.#parser = options.parser
    this.#stops = options.stops.filter(stop => stop !== '')
    this.#minIndent = options.minIndent ?? 0
  }

  push(id: number, piece: Buffer, logprob: TokenLogprob | undefined): TextDelta {
    this.#pending.push({ id, start: this.#released + this.#held.length, logprob })
    this.#held += this.#decoder.write(piece)
    const cut = this.#findStop()
    if (cut !== undefined) {
      this.stopped = cut.stop
      const text = this.#held.slice(0, cut.index)
      this.#held = ''
      return this.#release(text, true)
    }
    const keep = this.#couldStop()
    const text = this.#held.slice(0, this.#held.length - keep)
    this.#held = this.#held.slice(this.#held.length - keep)
    return this.#release(text, false)
  }

  /** What is still held back, at the end of the generation. */
  end(): TextDelta {
    const text = this.stopped === undefined ? this.#held + this.#decoder.end() : ''
    this.#held = ''
    const last = this.#release(text, this.stopped !== undefined)
    const rest = this.#count(this.#parser.end())
    return {
      ...last,
      content: last.content + rest.content,
      reasoning: last.reasoning + rest.reasoning,
      toolCalls: [...last.toolCalls, ...rest.toolCalls],
    }
  }

  #release(text: string, dropRest: boolean): TextDelta {
    this.#released += text.length
    const parsed = this.#count(this.#parser.push(text))
    // A token belongs to this delta once its text begins in it; a token without text goes with what is before it.
    const out: Pending[] = []
    while (this.#pending.length > 0 && (this.#pending[0]!.start < this.#released || this.#held === '')) {
      if (dropRest && this.#pending[0]!.start >= this.#released) break
      out.push(this.#pending.shift()!)
    }
    if (dropRest) this.#pending = []
    return { ...parsed, logprobs: out.flatMap(token => token.logprob ?? []), tokens: out.map(token => token.id) }
  }

  #count(parsed: Parsed): Parsed {
    if (parsed.toolCalls.length > 0) this.calledTool = true
    return parsed
  }

  #findStop(): { index: number; stop: string } | undefined {
    let first: { index: number; stop: string } | undefined
    for (const stop of this.#stops) {
      const index = this.#held.indexOf(stop)
      if (index >= 0 && (first === undefined || index < first.index)) first = { index, stop }
    }
    if (this.#minIndent > 0) {
      const outdent = this.#findOutdent()
      if (outdent !== undefined && (first === undefined || outdent < first.index)) first = { index: outdent, stop: '' }
    }
    return first
  }

  /** Where a line begins whose indentation is below the least; its line break goes with it. */
  #findOutdent(): number | undefined {
    for (const match of this.#held.matchAll(/\n([ \t]*)(?=[^\s])/g)) {
      if (match[1]!.length < this.#minIndent) return match.index
    }
    return undefined
  }

  /** Characters at the end that must wait: the longest suffix that begins a stop text, or the open last line's indentation. */
  #couldStop(): number {
    let keep = 0
    for (const stop of this.#stops) {
      for (let length = Math.min(stop.length - 1, this.#held.length); length > keep; length--) {
        if (this.#held.endsWith(stop.slice(0, length))) {
          keep = length
          break
        }
      }
    }
    if (this.#minIndent > 0) keep = Math.max(keep, /\n[ \t]*$/.exec(this.#held)?.[0].length ?? 0)
    return keep
  }
}
