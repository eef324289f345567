/** Asks a chat model for one answer: a text, or a value of a JSON schema that its grammar enforces; the question is cut to the context. */
import * as z from 'zod'
import { HubError } from '../lib/error.ts'
import type { Lease } from '../models/models.ts'
import type { Format, Generate, Prompt } from '../wire/worker.ts'
import { noThinking, quietly } from './thinking.ts'

/** A piece of a question. One that may lose its `start` or `end` is shortened when the context is too small for all. */
export type Part = string | { text: string; lose: 'start' | 'end' }

export type Ask = {
  /** What the model is to do, in a few short sentences: small models forget long ones. */
  system: string
  parts: Part[]
  /** Longest answer. */
  maxTokens: number
}

export type AskModel = {
  /** @throws HubError unusable_answer when nothing was said, context_length_exceeded when what may not be cut is too long; those of the model */
  text(ask: Ask, signal: AbortSignal): Promise<string>
  /**
   * @param read takes what was answered and refuses it by throwing HubError unusable_answer; the model is then asked once more
   * @throws HubError as `text` does
   */
  json<S extends z.ZodType, T>(ask: Ask, schema: S, read: (value: z.infer<S>) => T, signal: AbortSignal): Promise<T>
  /** The context of the model that would answer now, in tokens. */
  contextTokens(signal: AbortSignal): Promise<number>
}

const ATTEMPTS = 2
/** No tokenizer packs text more tightly on the average; longer text need not be counted to know that it is too long. */
const CHARACTERS_PER_TOKEN = 8
const MOST_FITTINGS = 8

/**
 * @param acquire gives the model that answers now; it is held while it answers
 * @param written is told how many characters of the answer there are
 */
export function askModel(
  acquire: (signal: AbortSignal) => Promise<Lease>,
  written: (characters: number) => void = () => {},
): AskModel {
  const answer = async (ask: Ask, format: Format, attempt: number, signal: AbortSignal): Promise<string> => {
    const lease = await acquire(signal)
    try {
      return await quietly(lease.info, async () => {
        const request = await toGenerate(lease, ask, format, attempt, signal)
        let text = ''
        for await (const event of lease.generate(request, signal)) {
          if (event.type !== 'delta' || event.content === undefined) continue
          text += event.content
          written(text.length)
        }
        return text
      })
    } finally {
      lease.release()
    }
  }
  return {
    async text(ask, signal) {
      const text = (await answer(ask, { type: 'text' }, 0, signal)).trim()
      if (text === '') throw unusable('The model said nothing. Ask again, or choose a larger model.')
      return text
    },
    async json(ask, schema, read, signal) {
      const { $schema: _, ...json } = z.toJSONSchema(schema)
      for (let attempt = 0; ; attempt++) {
        try {
          const value = schema.safeParse(
            readJson(await answer(ask, { type: 'json_schema', schema: json }, attempt, signal)),
          )
          if (!value.success) throw unusable('The answer of the model was cut off or is not what was asked for.')
          return read(value.data)
        } catch (thrown) {
          if (HubError.from(thrown).code !== 'unusable_answer' || attempt + 1 >= ATTEMPTS) throw thrown
        }
      }
    },
    async contextTokens(signal) {
      const lease = await acquire(signal)
      lease.release()
      return lease.info.contextTokens
    },
  }
}

/** The model answered, and the answer is good for nothing. */
export function unusable(message: string): HubError {
  return new HubError('unusable_answer', message)
}

/** A sentence for the end of a system prompt where prose is written. */
export function inLanguage(prose: 'en' | 'vi'): string {
  return prose === 'vi' ? ' Write in Vietnamese.' : ''
}

/**
 * What a text holds as JSON: all of it, what stands between its outer braces, or, where it was cut off inside a list, the list's
 * whole objects.
 */
export function readJson(text: string): unknown {
  const start = text.indexOf('{')
  if (start < 0) return undefined
  let end = text.lastIndexOf('}')
  for (let tries = 0; end > start && tries < 32; tries++) {
    for (const closers of ['', ']}', '}']) {
      try {
        return JSON.parse(text.slice(start, end + 1) + closers)
      } catch {
        // Cut off, or prose with braces; an earlier one may close it.
      }
    }
    end = text.lastIndexOf('}', end - 1)
  }
  return undefined
}

async function toGenerate(
  lease: Lease,
  ask: Ask,
  format: Format,
  attempt: number,
  signal: AbortSignal,
): Promise<Generate> {
  if (!lease.info.canGenerate) {
    throw new HubError('invalid_request', `Model '${lease.model.id}' gives embeddings only. Choose a chat model.`)
  }
  const { prompt, maxTokens } = await fit(lease, ask, signal)
  return {
    prompt,
    format,
    // Nearly the likeliest answer; the second try has to be another one.
    sampling: attempt === 0 ? { temperature: 0.2, topP: 0.9, seed: 1 } : { temperature: 0.7, topP: 0.95, seed: 2 },
    maxTokens,
    stop: [],
    n: 1,
    cachePrompt: true,
    adapters: [],
  }
}

/** The prompt with so much of the parts that may be cut as the context holds. */
async function fit(lease: Lease, ask: Ask, signal: AbortSignal): Promise<{ prompt: Prompt; maxTokens: number }> {
  const { contextTokens } = lease.info
  const maxTokens = Math.min(ask.maxTokens, Math.floor(contextTokens / 2))
  const most = contextTokens * CHARACTERS_PER_TOKEN
  const fixed = ask.parts.reduce((sum, part) => sum + (typeof part === 'string' ? part.length : 0), 0)
  let keep = Math.min(most, cuttable(ask.parts))
  for (let fitting = 0; fixed <= most; fitting++) {
    const user = cutParts(ask.parts, fitting < MOST_FITTINGS ? keep : 0)
    const prompt = toPrompt(lease, ask.system, user)
    const tokens = await countTokens(lease, prompt, signal)
    const over = tokens + maxTokens - contextTokens
    if (over <= 0) return { prompt, maxTokens }
    if (keep === 0 || fitting >= MOST_FITTINGS) break
    const charactersPerToken = (ask.system.length + user.length) / Math.max(1, tokens)
    keep = Math.max(0, Math.floor(keep - over * charactersPerToken * 1.05 - 16))
  }
  throw new HubError(
    'context_length_exceeded',
    `This is too long for the context of model '${lease.model.id}' (${contextTokens} tokens). Select less, or raise contextTokens.`,
  )
}

function toPrompt({ info }: Lease, system: string, user: string): Prompt {
  if (!info.hasChatTemplate) return { type: 'text', text: `${system}\n\n${user}\n\nAnswer:\n`, special: true }
  return {
    type: 'chat',
    messages: [
      { role: 'system', content: system },
      { role: 'user', content: user },
    ],
    tools: [],
    toolChoice: 'none',
    parallelToolCalls: false,
    // Thinking would cost a small model its whole answer.
    templateVariables: noThinking(info),
  }
}

async function countTokens(lease: Lease, prompt: Prompt, signal: AbortSignal): Promise<number> {
  if (prompt.type === 'chat') return (await lease.ask<'render'>({ type: 'render', prompt }, signal)).tokens
  const text = prompt.type === 'text' ? prompt.text : ''
  const { tokens } = await lease.ask<'tokenize'>(
    { type: 'tokenize', text, addSpecial: true, parseSpecial: true },
    signal,
  )
  return tokens.length
}

function cuttable(parts: readonly Part[]): number {
  return parts.reduce((sum, part) => sum + (typeof part === 'string' ? 0 : part.text.length), 0)
}

/** All parts in a row; those that may be cut keep `keep` characters together, each its share, by whole lines where it has some. */
export function cutParts(parts: readonly Part[], keep: number): string {
  const all = cuttable(parts)
  return parts
    .map(part => {
      if (typeof part === 'string') return part
      if (keep >= all) return part.text
      const length = Math.floor((part.text.length * keep) / all)
      return part.lose === 'end' ? cutEnd(part.text, length) : cutStart(part.text, length)
    })
    .join('')
}

function cutEnd(text: string, length: number): string {
  if (length >= text.length) return text
  const line = text.lastIndexOf('\n', length)
  if (line > length / 2) return text.slice(0, line)
  return text.slice(0, isPairAt(text, length) ? length - 1 : length)
}

function cutStart(text: string, length: number): string {
  if (length >= text.length) return text
  const at = text.length - length
  const line = text.indexOf('\n', at)
  if (line >= 0 && line - at < length / 2) return text.slice(line + 1)
  return text.slice(isPairAt(text, at) ? at + 1 : at)
}

/** Whether a cut there would tear a surrogate pair. */
function isPairAt(text: string, at: number): boolean {
  return /[\uDC00-\uDFFF]/.test(text[at] ?? '') && /[\uD800-\uDBFF]/.test(text[at - 1] ?? '')
}
