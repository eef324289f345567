/** The hub's models in the editor's own chat: a language model provider, where the editor is new enough to take one. */
import * as vscode from 'vscode'
import type { ModelStatusOut } from '../server/wire/system.ts'
import type { Api } from './api.ts'
import type { Events } from './events.ts'
import type { Hub } from './hub.ts'

export const VENDOR = 'ai-hub'

/** What is used of the editor's interface, which is newer than the oldest editor that the extension runs in. */
type ChatInformation = {
  id: string
  name: string
  family: string
  version: string
  tooltip?: string
  detail?: string
  maxInputTokens: number
  maxOutputTokens: number
  capabilities: { toolCalling?: boolean; imageInput?: boolean }
}
type ChatMessage = { role: number; name?: string; content: readonly unknown[] }
type ChatOptions = {
  modelOptions?: { readonly [name: string]: unknown }
  tools?: readonly { name: string; description: string; inputSchema?: object }[]
  toolMode?: vscode.LanguageModelChatToolMode
}
type Provider = {
  onDidChangeLanguageModelChatInformation: vscode.Event<void>
  provideLanguageModelChatInformation(
    options: { silent: boolean },
    token: vscode.CancellationToken,
  ): Promise<ChatInformation[]>
  provideLanguageModelChatResponse(
    model: ChatInformation,
    messages: readonly ChatMessage[],
    options: ChatOptions,
    progress: vscode.Progress<vscode.LanguageModelTextPart | vscode.LanguageModelToolCallPart>,
    token: vscode.CancellationToken,
  ): Promise<void>
  provideTokenCount(
    model: ChatInformation,
    text: string | ChatMessage,
    token: vscode.CancellationToken,
  ): Promise<number>
}
type Register = (vendor: string, provider: Provider) => vscode.Disposable

/** Does nothing in an editor that has no such interface. */
export function registerChatProvider(deps: { hub: Hub; api: Api; events: Events }): vscode.Disposable {
  const { registerLanguageModelChatProvider: register } = vscode.lm as { registerLanguageModelChatProvider?: Register }
  if (register === undefined) return vscode.Disposable.from()
  const changed = new vscode.EventEmitter<void>()
  let known = ''
  const listening = deps.events.onEvent(() => {
    const ids = deps.events.models.map(({ id }) => id).join('\n')
    if (ids === known) return
    known = ids
    changed.fire()
  })
  return vscode.Disposable.from(changed, listening, register(VENDOR, createProvider(deps, changed.event)))
}

function createProvider(
  { hub, api, events }: { hub: Hub; api: Api; events: Events },
  onChange: vscode.Event<void>,
): Provider {
  return {
    onDidChangeLanguageModelChatInformation: onChange,
    async provideLanguageModelChatInformation({ silent }) {
      // The chat asks at every start of the editor; that alone is no reason to start the hub.
      if (silent && hub.state !== 'ready') return []
      try {
        const [models, contextTokens] = await Promise.all([api.models(), contextOf(api)])
        return models.filter(canChat).map(model => toInformation(model, contextTokens))
      } catch {
        return []
      }
    },
    async provideLanguageModelChatResponse(model, messages, options, progress, token) {
      const stop = new AbortController()
      const cancelling = token.onCancellationRequested(() => stop.abort())
      try {
        const calls = new Map<number, { id: string; name: string; text: string }>()
        for await (const { choices } of api.chat(toRequest(model.id, messages, options), stop.signal)) {
          const delta = choices?.[0]?.delta
          if (delta?.content) progress.report(new vscode.LanguageModelTextPart(delta.content))
          for (const { index, id, function: called } of delta?.tool_calls ?? []) {
            const call = calls.get(index) ?? { id: id ?? `call_${index}`, name: '', text: '' }
            call.name += called?.name ?? ''
            call.text += called?.arguments ?? ''
            calls.set(index, call)
          }
        }
        for (const { id, name, text } of calls.values()) {
          progress.report(new vscode.LanguageModelToolCallPart(id, name, toInput(name, text)))
        }
      } catch (thrown) {
        if (!stop.signal.aborted) throw thrown
      } finally {
        cancelling.dispose()
      }
    },
    async provideTokenCount({ id }, text) {
      const plain = typeof text === 'string' ? text : text.content.map(textOf).join('')
      const estimated = Math.ceil(plain.length / 3)
      // The chat counts every piece of its prompt; that alone is no reason to load a model.
      if (events.model(id)?.state !== 'ready') return estimated
      return api.countTokens(id, plain).catch(() => estimated)
    },
  }
}

/** What models get that say nothing themselves. */
async function contextOf(api: Api): Promise<number> {
  return api.settings().then(
    ({ settings }) => Number(settings.contextTokens ?? USUAL_CONTEXT),
    () => USUAL_CONTEXT,
  )
}
const USUAL_CONTEXT = 8192

/** @throws Error when the answer was cut off within the call */
function toInput(name: string, text: string): object {
  try {
    return JSON.parse(text === '' ? '{}' : text) as object
  } catch {
    throw new Error(vscode.l10n.t('The answer ended within the call of {0}: the context is full.', name))
  }
}

function canChat({ facts, state, worker }: ModelStatusOut): boolean {
  const isGenerator = worker?.can_generate ?? facts?.pooling === undefined
  return facts?.chat_template === true && state !== 'broken' && isGenerator
}

function toInformation(
  { id, facts, worker, description, toy }: ModelStatusOut,
  contextTokens: number,
): ChatInformation {
  const context = worker?.context_tokens ?? Math.min(facts?.context_length ?? contextTokens, contextTokens)
  // A quarter for the answer: the two together may not exceed the context.
  const maxOutputTokens = Math.floor(context / 4)
  return {
    id,
    name: id,
    family: facts?.architecture ?? 'gguf',
    version: facts?.quantization ?? '1',
    ...(description !== undefined && { tooltip: description }),
    detail: toy === true ? vscode.l10n.t('for trying out') : vscode.l10n.t('on this machine'),
    maxInputTokens: context - maxOutputTokens,
    maxOutputTokens,
    // The hub writes tools into any template and enforces their form; a toy would still call them at random.
    capabilities: { toolCalling: toy !== true, imageInput: false },
  }
}

function toRequest(model: string, messages: readonly ChatMessage[], options: ChatOptions): object {
  const { tools = [], toolMode, modelOptions = {} } = options
  const { temperature, top_p, max_tokens } = modelOptions
  return {
    model,
    messages: messages.flatMap(toMessages),
    ...(tools.length > 0 && {
      tools: tools.map(({ name, description, inputSchema }) => ({
        type: 'function',
        function: { name, description, parameters: inputSchema ?? { type: 'object', properties: {} } },
      })),
      tool_choice: toolMode === vscode.LanguageModelChatToolMode.Required ? 'required' : 'auto',
    }),
    ...(typeof temperature === 'number' && { temperature }),
    ...(typeof top_p === 'number' && { top_p }),
    ...(typeof max_tokens === 'number' && { max_completion_tokens: max_tokens }),
  }
}

/** A message of the editor holds texts, calls and results together; OpenAI's form has one message for each result. */
function toMessages({ role, content }: ChatMessage): object[] {
  const results = content.filter(part => part instanceof vscode.LanguageModelToolResultPart)
  const calls = content.filter(part => part instanceof vscode.LanguageModelToolCallPart)
  const text = content.map(textOf).join('')
  const found: object[] = results.map(({ callId, content: parts }) => {
    return { role: 'tool', tool_call_id: callId, content: parts.map(textOf).join('') }
  })
  const speaker =
    role === vscode.LanguageModelChatMessageRole.Assistant ? 'assistant' : role === SYSTEM ? 'system' : 'user'
  if (text !== '' || calls.length > 0 || found.length === 0) {
    found.push({
      role: speaker,
      content: text,
      ...(calls.length > 0 && {
        tool_calls: calls.map(({ callId, name, input }) => {
          return { id: callId, type: 'function', function: { name, arguments: JSON.stringify(input) } }
        }),
      }),
    })
  }
  return found
}

/** Of the editor's own chat; the stable interface does not name it. */
const SYSTEM = 3

/** @throws Error for what is no text */
function textOf(part: unknown): string {
  if (part instanceof vscode.LanguageModelTextPart) return part.value
  if (part instanceof vscode.LanguageModelToolCallPart || part instanceof vscode.LanguageModelToolResultPart) return ''
  if (part instanceof vscode.LanguageModelPromptTsxPart) return JSON.stringify(part.value)
  const { mimeType, data } = part as { mimeType?: unknown; data?: unknown }
  if (typeof mimeType !== 'string' || !(data instanceof Uint8Array)) return ''
  if (/^text\/|\bjson$/.test(mimeType)) return new TextDecoder().decode(data)
  // Marks that the chat sets for caches of its own; they are for no model.
  if (!/^(image|audio|video|application\/pdf)\b/.test(mimeType)) return ''
  throw new Error(vscode.l10n.t('The models of the hub read text only, and the message holds {0}.', mimeType))
}
