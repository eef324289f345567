/**
 * From a sample to the exact tokens that serving would see, with the loss weight of each: learned is what the model would have to
 * write itself, token for token, and nothing else.
 */
import { HubError } from '../lib/error.ts'
import type { Sample, SampleMessage } from '../wire/sample.ts'
import type { ChatMessage, EncodedSample, EncodedSequence, Tool } from '../wire/worker.ts'
import { splitCalls } from './conversation.ts'
import { infillPrompt } from './infill.ts'
import type { Model } from './model.ts'
import type { ChatTemplate } from './template.ts'

export type Encoder = {
  model: Model
  /** @throws HubError model_broken when the template cannot be used */
  template(): ChatTemplate
  /** For templates that write the date; the same for all samples. */
  now: Date
  /** Most tokens of an infill sample: what is far from the middle is cut, as serving cuts it. */
  infillTokens?: number
}

/** What the model is asked with, and what it should answer; the answer's last token ends it. */
type Turn = {
  prompt: number[]
  tokens: number[]
  weight: number
  ended: boolean /** It holds several answers. */
  several: boolean
}

/** An error is part of the result: a sample that cannot be encoded costs the others nothing. */
export function encodeSample(encoder: Encoder, sample: Sample): EncodedSample {
  try {
    return encode(encoder, sample)
  } catch (thrown) {
    return { error: HubError.from(thrown).message }
  }
}

function encode(encoder: Encoder, sample: Sample): EncodedSample {
  const { model } = encoder
  switch (sample.kind) {
    case 'text': {
      const tokens = [...model.tokenize(sample.text, true, true)]
      return ending(model, tokens, 0, documentEnd(model))
    }
    case 'completion': {
      const prompt = [...model.tokenize(sample.prompt, true, true)]
      if (prompt.length === 0 && model.bos >= 0) prompt.push(model.bos)
      const whole = [...model.tokenize(sample.prompt + sample.completion, true, true)]
      const tokens = goOn(model, prompt, whole, sample.completion)
      return ending(model, tokens, prompt.length, documentEnd(model))
    }
    case 'infill':
      return infill(encoder, sample)
    case 'chat':
      return chat(encoder, sample)
    case 'preference':
      return preference(encoder, sample)
  }
}

function infill(
  { model, infillTokens = Number.POSITIVE_INFINITY }: Encoder,
  sample: Extract<Sample, { kind: 'infill' }>,
) {
  const middle = model.continuation(sample.middle, false)
  const end = infillEnd(model)
  // Serving keeps a part of its context free for the output; here the output is known.
  const room = Math.max(0, infillTokens - middle.length - 1)
  const context = room < 384 ? Math.ceil((room * 4) / 3) : room + 128
  const { prefix, suffix } = sample
  const prompt = infillPrompt(model, { type: 'infill', prefix, suffix, prompt: '', extra: [] }, context)
  return ending(model, [...prompt, ...middle], prompt.length, end)
}

/** The tokens, learned from `from` on, with the end token behind them where it is not there already. */
function ending(model: Model, tokens: number[], from: number, end: number | undefined): EncodedSequence {
  const last = tokens.at(-1)
  const whole = end === undefined || (last !== undefined && model.endsGeneration(last)) ? tokens : [...tokens, end]
  return { tokens: whole, weights: whole.map((_, index) => (index > 0 && index >= from ? 1 : 0)) }
}

function chat(encoder: Encoder, sample: Extract<Sample, { kind: 'chat' }>): EncodedSample {
  const messages = sample.messages.map(message)
  const tools = (sample.tools ?? []).map(
    ({ name, description, parameters }): Tool => ({
      name,
      ...(description !== undefined && { description }),
      ...(parameters !== undefined && { parameters }),
    }),
  )
  const turns = (given: Weighted[]): Turn[] =>
    given.flatMap(({ weight, ...one }, place) =>
      one.role === 'assistant' && weight > 0
        ? [turn(encoder, texts, given.slice(0, place).map(bare), one, tools, weight)]
        : [],
    )
  const texts = new GrowingText(encoder.model)
  let learned = turns(messages)
  // A template that knows one call per turn writes several as turns of their own.
  if (learned.some(({ several }) => several)) {
    learned = turns(splitCalls(messages) as Weighted[])
    if (learned.some(({ several }) => several)) {
      throw new HubError('invalid_request', 'the answer holds a token that ends an answer; take it out of the text')
    }
  }
  if (learned.length === 0) {
    throw new HubError('invalid_request', 'no message of the assistant is to be learned; give one without weight 0')
  }
  const [first, ...more] = join(learned)
  return { ...first!, ...(more.length > 0 && { more }) }
}

/**
 * As few sequences as hold every turn with exactly the tokens before it that serving would see: one where the text of a turn stays
 * the same in the turns that follow, else some of their own, as where a template drops the reasoning of former turns.
 */
function join(turns: Turn[]): EncodedSequence[] {
  const left = [...turns]
  const sequences: EncodedSequence[] = []
  for (let last = left.pop(); last !== undefined; last = left.pop()) {
    const { tokens } = last
    const weights = new Array<number>(tokens.length).fill(0)
    const learn = ({ prompt, tokens: { length }, weight }: Turn) =>
      weights.fill(weight, Math.max(1, prompt.length), length)
    learn(last)
    for (let index = left.length - 1; index >= 0; index--) {
      const turn = left[index]!
      if (!turn.ended || !startsWith(tokens, turn.tokens)) continue
      learn(turn)
      left.splice(index, 1)
    }
    sequences.unshift({ tokens, weights })
  }
  return sequences
}

function preference(encoder: Encoder, sample: Extract<Sample, { kind: 'preference' }>): EncodedSample {
  const messages = sample.messages.map(message).map(bare)
  const texts = new GrowingText(encoder.model)
  const answer = (content: string): EncodedSequence => {
    const { prompt, tokens } = turn(encoder, texts, messages, bare(message({ role: 'assistant', content }, 0)), [], 1)
    return { tokens, weights: tokens.map((_, index) => (index > 0 && index >= prompt.length ? 1 : 0)) }
  }
  return { ...answer(sample.chosen), rejected: answer(sample.rejected) }
}

/** Template variables under which a model reasons: tried one after the other where a sample has reasoning and the prompt rules it out. */
const THINKING = [{}, { enable_thinking: true }, { thinking: true }]

/** One answer: the prompt that serving would make of the messages before it, and what is to be written behind it. */
function turn(
  encoder: Encoder,
  texts: GrowingText,
  before: ChatMessage[],
  answer: ChatMessage,
  tools: Tool[],
  weight: number,
): Turn {
  const { model } = encoder
  const template = encoder.template()
  const attempt = (templateVariables: { [name: string]: unknown }) => {
    const write = (messages: ChatMessage[], open: boolean): string => {
      const asked = { messages, tools, toolChoice: 'auto', parallelToolCalls: true, templateVariables } as const
      return template.transcript({ type: 'chat', ...asked }, encoder.now, open)
    }
    const promptText = write(before, true)
    /** What the template writes behind the content of an answer. */
    const tail = (): string => {
      if (!answer.content || answer.toolCalls !== undefined) return ''
      const marked = write([...before, { ...answer, content: SENTINEL }], false)
      return marked.slice(marked.lastIndexOf(SENTINEL) + SENTINEL.length)
    }
    return { promptText, text: answerText(promptText, before, answer, write, template.reasoning), tail }
  }
  let found: ReturnType<typeof attempt> | undefined
  let failure: unknown
  for (const variables of answer.reasoning === undefined ? [{}] : THINKING) {
    try {
      found = attempt(variables)
      break
    } catch (thrown) {
      failure ??= thrown
    }
  }
  if (found === undefined) throw failure
  const { promptText, text } = found
  const prompt = texts.tokenize(promptText)
  const together = texts.tokenize(promptText + text)
  const tokens = goOn(model, prompt, together, text)
  const end = firstEnd(model, tokens, prompt.length)
  // What the template writes behind the end of the answer is not the model's.
  if (end >= 0) {
    const rest = tokens.slice(end + 1)
    if (tokens === together) texts.remember(promptText, text, tokens.slice(0, end + 1))
    const blank = rest.every(token => model.endsGeneration(token) || model.piece(token, true).toString().trim() === '')
    return { prompt, tokens: tokens.slice(0, end + 1), weight, ended: true, several: !blank }
  }
  const stop = template.stops.find(stop => text.trimEnd().endsWith(stop))
  if (stop !== undefined) {
    const cut = text.slice(0, text.lastIndexOf(stop) + stop.length)
    return {
      prompt,
      tokens: goOn(model, prompt, texts.tokenize(promptText + cut), cut),
      weight,
      ended: true,
      several: false,
    }
  }
  // The template ends its answers with nothing that the model could stop at, so the model ends them instead of it.
  const own = chatEnd(model)
  const tail = found.tail()
  const said = text.endsWith(tail) ? text.slice(0, text.length - tail.length) : text
  const open = goOn(model, prompt, texts.tokenize(promptText + said), said)
  const last = own === undefined ? open : [...open, own]
  return { prompt, tokens: last, weight, ended: false, several: false }
}

/** Stands in for an answer's content, to find where the template puts it. */
const SENTINEL = 'c41f0be27d5a4e93'

/** What the template writes behind the prompt for this answer. @throws HubError invalid_request naming why that cannot be told */
function answerText(
  prompt: string,
  before: ChatMessage[],
  answer: ChatMessage,
  write: (messages: ChatMessage[], open: boolean) => string,
  { open, close }: { open: string; close: string },
): string {
  const { reasoning } = answer
  const closed = (message: ChatMessage): string => write([...before, message], false)
  /** The text with the content cut out of it: what stands before and behind. */
  const around = (): [string, string] => {
    const marked = closed({ ...answer, content: SENTINEL })
    const at = marked.lastIndexOf(SENTINEL)
    if (at === -1) throw new HubError('invalid_request', 'the chat template does not show the content of an answer')
    return [marked.slice(0, at), marked.slice(at + SENTINEL.length)]
  }
  let said = closed(answer)
  if (reasoning !== undefined && !said.slice(commonLength(said, prompt)).includes(reasoning)) {
    // The template has no place for reasoning: it goes where the model writes it, in front of the content.
    const [head, tail] = around()
    // An empty thought that the template writes itself gives way to the real one.
    const empty = new RegExp(`${literally(open)}\\s*${literally(close)}\\s*$`).exec(head)
    said = `${head.slice(0, empty?.index)}${open}\n${reasoning}\n${close}\n\n${answer.content ?? ''}${tail}`
  }
  if (said.startsWith(prompt)) return said.slice(prompt.length)
  const same = commonLength(said, prompt)
  const at = prompt.lastIndexOf(open)
  // Markers begin alike: the reasoning's own is not to be cut in two.
  const common = at >= 0 && at < same && at + open.length > same ? at : same
  const opened = prompt.slice(common).trim()
  const rest = said.slice(common)
  // The prompt has begun the reasoning: an answer without any closes it at once.
  if (opened === open && reasoning === undefined) return `\n${close}\n\n${rest}`
  if (opened.startsWith(open) && opened.endsWith(close) && reasoning === undefined) return rest
  if (opened === open && rest.trimStart().startsWith(open))
    return rest.trimStart().slice(open.length).replace(/^\n/, '')
  const begun = beginning(prompt, write(before, false), answer.content ? around()[0] : said)
  if (begun !== undefined && !opened.includes(open)) return said.slice(begun)
  const quoted = (text: string) => JSON.stringify(text.slice(Math.max(0, common - 20), common + 40))
  throw new HubError(
    'invalid_request',
    `the chat template writes this answer otherwise (…${quoted(said)}) than it asks for it (…${quoted(prompt)}), so it cannot be told what the model is to write`,
  )
}

/**
 * Where the answer begins in a text that writes the messages before it in another way than the prompt does: behind what opens
 * an answer, or else behind the longest end that both have in common.
 */
function beginning(prompt: string, closed: string, text: string): number | undefined {
  const opener = prompt.startsWith(closed) ? prompt.slice(closed.length) : ''
  if (opener.trim() !== '') {
    const at = text.lastIndexOf(opener)
    return at === -1 ? undefined : at + opener.length
  }
  let length = 0
  while (length < prompt.length && text.includes(prompt.slice(prompt.length - length - 1))) length++
  return length < LEAST_COMMON ? undefined : text.lastIndexOf(prompt.slice(prompt.length - length)) + length
}

/** Characters by which the end of a prompt is known again. */
const LEAST_COMMON = 4

function commonLength(a: string, b: string): number {
  let length = 0
  while (length < a.length && length < b.length && a.charCodeAt(length) === b.charCodeAt(length)) length++
  return length
}

/** @param text of a chat template, tokenised as serving does it */
export function tokenizeChat(model: Model, text: string): number[] {
  // Most templates write the BOS token themselves; a second one harms the answer.
  const bos = model.bos >= 0 ? model.piece(model.bos, true).toString('utf8') : ''
  return [...model.tokenize(text, bos === '' || !text.startsWith(bos), true)]
}

/**
 * Tokenises the growing texts of a conversation, as tokenizeChat does. A special token stands for itself, so what ends with
 * the end of an answer is not tokenised again: long conversations would take a time that grows with the square of their length.
 */
class GrowingText {
  readonly #model: Model
  #text = ''
  #tokens: number[] = []

  constructor(model: Model) {
    this.#model = model
  }

  tokenize(text: string): number[] {
    if (this.#text === '' || !text.startsWith(this.#text)) return tokenizeChat(this.#model, text)
    return [...this.#tokens, ...this.#model.tokenize(text.slice(this.#text.length), false, true)]
  }

  /** @param tokens of the prompt and the answer's text up to its end token */
  remember(prompt: string, answer: string, tokens: number[]): void {
    const model = this.#model
    const end = tokens.at(-1)!
    const piece = model.piece(end, true).toString('utf8')
    const at = answer.indexOf(piece)
    if (piece === '' || at === -1) return
    // Some tokens take the white space behind them away.
    const apart = [end, ...model.tokenize('\n x', false, true)]
    const together = [...model.tokenize(`${piece}\n x`, false, true)]
    if (together.length !== apart.length || !startsWith(together, apart)) return
    this.#text = prompt + answer.slice(0, at + piece.length)
    this.#tokens = tokens
  }
}

/** The prompt's tokens with those of the answer behind them: those of the whole text where it begins with the prompt's. */
function goOn(model: Model, prompt: number[], whole: number[], answer: string): number[] {
  return startsWith(whole, prompt) ? whole : [...prompt, ...model.continuation(answer, true)]
}

/** Ends a text or a completion: the end of a document, which is not the end of a turn in every vocabulary. */
function documentEnd(model: Model): number | undefined {
  const [token, ...more] = model.tokenize('<|endoftext|>', false, true)
  if (token !== undefined && more.length === 0 && model.endsGeneration(token)) return token
  return chatEnd(model)
}

/** Code models of the CodeLlama family end the middle with a token of its own. */
function infillEnd(model: Model): number | undefined {
  const own = model.endTokens().find(token => model.piece(token, true).toString('utf8').includes('<EOT>'))
  return own ?? documentEnd(model)
}

function chatEnd(model: Model): number | undefined {
  const eos = model.native.vocab_eos(model.vocab)
  return eos >= 0 ? eos : model.endTokens()[0]
}

function firstEnd(model: Model, tokens: number[], from: number): number {
  return tokens.findIndex((token, index) => index >= from && model.endsGeneration(token))
}

function startsWith(tokens: readonly number[], start: readonly number[]): boolean {
  return start.length <= tokens.length && start.every((token, index) => tokens[index] === token)
}

type Weighted = ChatMessage & { weight: number }

function message(sample: SampleMessage, place: number): Weighted {
  const { role, content, name, tool_calls, tool_call_id, weight } = sample
  const thought = role === 'assistant' ? /^\s*<think>([\s\S]*?)<\/think>\s*/.exec(content ?? '') : null
  return {
    role,
    content: thought === null ? content : content!.slice(thought[0].length),
    weight: weight ?? 1,
    // As the doors give reasoning out, and take it back.
    ...(thought !== null && thought[1]!.trim() !== '' && { reasoning: thought[1]!.trim() }),
    ...(name !== undefined && { name }),
    ...(tool_call_id !== undefined && { toolCallId: tool_call_id }),
    ...(tool_calls !== undefined && {
      toolCalls: tool_calls.map((call, index) => ({ ...call, id: call.id ?? `call_${place}_${index}` })),
    }),
  }
}

const bare = ({ weight: _weight, ...message }: Weighted): ChatMessage => message

const literally = (text: string): string => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
