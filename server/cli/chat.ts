/** `ai-hub chat`: a conversation with a model in the terminal, answers streamed; with piped input, one answer and done. */
import { createInterface, type Interface } from 'node:readline'
import type { Readable, Writable } from 'node:stream'
import { HubError } from '../lib/error.ts'
import { fetchModels, type HubAddress, type Message, streamChat } from './api.ts'
import { paint, printable, type Terminal } from './terminal.ts'

export type ChatDeps = {
  /** The hub that runs on this home, if one does. */
  findHub(): Promise<HubAddress | undefined>
  /** Starts a hub for this conversation only. */
  startHub(): Promise<HubAddress & { close(): Promise<void> }>
  input: Readable & { isTTY?: boolean }
  /** The readline of a conversation draws on this one; in a pipe only the answer goes there. */
  output: Writable
  terminal: Terminal
  /** Speed and notes, so that a pipe carries the answer alone. */
  notes: Terminal
}

export type ChatOptions = { model?: string; system?: string; question?: string }

const COMMANDS = `  /model [ID]      show the models, or go on with another one
  /system [TEXT]   set the system message (none: take it away) and begin anew
  /clear           forget the conversation
  /help            this list
  /exit            leave (or Ctrl+C, Ctrl+D)
  Ctrl+C while an answer comes stops the answer.
`

/** Gives the exit code. @throws HubError when the hub refuses in a way that ends everything, such as an unknown model */
export async function runChat(deps: ChatDeps, options: ChatOptions): Promise<number> {
  const running = await deps.findHub()
  const own = running === undefined ? await deps.startHub() : undefined
  const hub: HubAddress = running ?? own ?? { url: '' }
  try {
    const conversation = new Conversation(hub, await chooseModel(hub, options.model), options.system)
    if (options.question !== undefined || deps.input.isTTY !== true) {
      const piped = deps.input.isTTY === true ? '' : await readAll(deps.input)
      const question = [options.question, piped.trim()].filter(part => part !== undefined && part !== '').join('\n\n')
      if (question === '') {
        deps.notes.write('There is no question: the input is empty.\n')
        return 2
      }
      return await answerOnce(deps, conversation, question)
    }
    await converse(deps, conversation)
    return 0
  } finally {
    await own?.close()
  }
}

/** The messages so far and the model that answers. */
class Conversation {
  readonly hub: HubAddress
  model: string
  system: string | undefined
  messages: Message[] = []

  constructor(hub: HubAddress, model: string, system: string | undefined) {
    this.hub = hub
    this.model = model
    this.system = system
  }

  /** Streams the answer to the terminal and keeps what came, also of an answer that was stopped. @throws HubError */
  async ask(question: string, terminal: Terminal, signal: AbortSignal): Promise<string> {
    const asked: Message = { role: 'user', content: question }
    const system: Message[] = this.system === undefined ? [] : [{ role: 'system', content: this.system }]
    const request = { model: this.model, messages: [...system, ...this.messages, asked] }
    let answer = ''
    let reasoning = false
    let note = ''
    try {
      for await (const part of streamChat(this.hub, request, signal)) {
        if (part.type === 'reasoning') {
          terminal.write(paint(terminal, 'dim', printable(part.text)))
          reasoning = true
        } else if (part.type === 'content') {
          if (reasoning) terminal.write('\n\n')
          reasoning = false
          terminal.write(printable(part.text))
          answer += part.text
        } else {
          note = describeEnd(part)
        }
      }
    } catch (error) {
      if (!signal.aborted) throw error
      note = 'stopped'
    }
    // A question without any answer would leave two user turns in a row, which many templates refuse.
    if (answer !== '') this.messages.push(asked, { role: 'assistant', content: answer })
    return note
  }
}

async function answerOnce(deps: ChatDeps, conversation: Conversation, question: string): Promise<number> {
  const stop = new AbortController()
  const onInterrupt = (): void => stop.abort()
  process.once('SIGINT', onInterrupt)
  try {
    const note = await conversation.ask(question, deps.terminal, stop.signal)
    deps.terminal.write('\n')
    deps.notes.write(`${paint(deps.notes, 'dim', `[${note}]`)}\n`)
    return stop.signal.aborted ? 130 : 0
  } finally {
    process.off('SIGINT', onInterrupt)
  }
}

async function converse(deps: ChatDeps, conversation: Conversation): Promise<void> {
  const { terminal } = deps
  const lines = createInterface({ input: deps.input, output: deps.output, terminal: deps.input.isTTY === true })
  let answering: AbortController | undefined
  const leave = new AbortController()
  // The first Ctrl+C stops the answer, one more at the prompt leaves.
  lines.on('SIGINT', () => {
    if (answering === undefined || answering.signal.aborted) leave.abort()
    answering?.abort()
  })
  lines.on('close', () => leave.abort())
  lines.setPrompt(paint(terminal, 'cyan', '> '))
  const nextLine = lineReader(lines, leave.signal)
  terminal.write(
    `${paint(terminal, 'bold', conversation.model)} at ${conversation.hub.url}. /help shows the commands.\n`,
  )
  try {
    while (!leave.signal.aborted) {
      const line = await nextLine()
      if (line === undefined) break
      const text = line.trim()
      if (text === '') continue
      try {
        if (text.startsWith('/')) {
          if (!(await obey(text, conversation, terminal))) break
          continue
        }
        answering = new AbortController()
        const note = await conversation.ask(text, terminal, AbortSignal.any([answering.signal, leave.signal]))
        terminal.write(`\n${paint(terminal, 'dim', `[${note}]`)}\n`)
      } catch (error) {
        terminal.write(`\n${paint(terminal, 'red', messageOf(error))}\n`)
      } finally {
        answering = undefined
      }
    }
  } finally {
    lines.close()
    terminal.write('\n')
  }
}

/** Gives the lines one by one, also those typed while an answer came; undefined at the end of the input or when the user leaves. */
function lineReader(lines: Interface, leave: AbortSignal): () => Promise<string | undefined> {
  const typed: string[] = []
  let wake = (): void => {}
  lines.on('line', line => {
    typed.push(line)
    wake()
  })
  leave.addEventListener('abort', () => wake())
  return async () => {
    if (typed.length === 0 && !leave.aborted) {
      lines.prompt()
      await new Promise<void>(resolve => {
        wake = resolve
      })
    }
    return typed.shift()
  }
}

/** Does what a line that begins with a slash says; false means to leave. */
async function obey(line: string, conversation: Conversation, terminal: Terminal): Promise<boolean> {
  const [command = '', ...words] = line.split(/\s+/)
  const rest = words.join(' ')
  switch (command) {
    case '/exit':
    case '/quit':
      return false
    case '/help':
      terminal.write(COMMANDS)
      return true
    case '/clear':
      conversation.messages = []
      terminal.write('The conversation is forgotten.\n')
      return true
    case '/system':
      conversation.system = rest === '' ? undefined : rest
      conversation.messages = []
      terminal.write(
        rest === '' ? 'No system message.\n' : 'The system message is set; the conversation begins anew.\n',
      )
      return true
    case '/model':
      await switchModel(conversation, rest, terminal)
      return true
    default:
      terminal.write(`There is no command ${command}. /help shows the commands.\n`)
      return true
  }
}

async function switchModel(conversation: Conversation, id: string, terminal: Terminal): Promise<void> {
  const models = await fetchModels(conversation.hub)
  if (id === '') {
    for (const model of models) {
      terminal.write(
        `${model.id === conversation.model ? '* ' : '  '}${model.id}  ${paint(terminal, 'dim', model.state)}\n`,
      )
    }
    return
  }
  if (!models.some(model => model.id === id)) {
    terminal.write(`There is no model "${id}". /model shows them.\n`)
    return
  }
  conversation.model = id
  terminal.write(`${id} answers from now on.\n`)
}

/** The named model, else one that is loaded, else the first whole one of the chat models, else of any; a toy only where there is nothing else. */
async function chooseModel(hub: HubAddress, wanted: string | undefined): Promise<string> {
  if (wanted !== undefined) return wanted
  const whole = (await fetchModels(hub)).filter(model => model.state !== 'broken')
  const real = whole.filter(model => model.toy !== true)
  const models = real.length > 0 ? real : whole
  const chosen =
    models.find(model => model.state === 'ready') ?? models.find(model => model.folder === 'chat_models') ?? models[0]
  if (chosen === undefined) {
    throw new HubError(
      'model_not_found',
      'There is no model yet. Get one with "ai-hub pull", or put a .gguf file into local_models/chat_models of the home folder ("ai-hub doctor" shows it).',
    )
  }
  return chosen.id
}

function describeEnd(end: { finishReason: string | undefined; tokens?: number; tokensPerSecond?: number }): string {
  const speed =
    end.tokens === undefined || end.tokensPerSecond === undefined
      ? 'done'
      : `${end.tokens} tokens, ${end.tokensPerSecond.toFixed(1)} tokens/s`
  return end.finishReason === 'length' ? `${speed}; cut off: the context or the token limit is full` : speed
}

async function readAll(input: Readable): Promise<string> {
  input.setEncoding('utf8')
  let text = ''
  for await (const piece of input) text += piece
  return text
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
