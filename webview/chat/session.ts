/** What the chat page does: conversations opened, changed and kept; questions asked, answers taken as they come. */
import type {
  Conversation,
  ConversationExport,
  ConversationList,
  ConversationMessage,
  ConversationMessageIn,
  ConversationOptions,
  ConversationUpdate,
  ConversationWhole,
} from '../../server/wire/conversations.ts'
import type { Bridge } from '../bridge.ts'
import { toHubFailure } from '../failure.ts'
import { newId } from '../id.ts'
import { createStore, type Store } from '../store.ts'
import { type Answer, streamAnswer } from './answer.ts'
import { ask, type Question } from './ask.ts'
import { createFarewell } from './farewell.ts'
import type { Link } from './link.ts'
import { createOutbox } from './outbox.ts'
import { paced, type Screen } from './paced.ts'
import { createPairs, type Pair } from './pairs.ts'
import { branchOf, childrenOf, lastLeaf, titleOf } from './tree.ts'
import { vote } from './vote.ts'

export type Live = Answer & { model: string; conversation: string; parent: string; stop(): void }

export type ChatState = {
  list: Conversation[]
  more: boolean
  listKnown: boolean
  search: string
  /** What is open; undefined for a chat that has not begun. */
  current: ConversationWhole | undefined
  opening: boolean
  /** Of a chat that has not begun. */
  options: ConversationOptions
  training: boolean
  model: string
  /** The model that answers beside the first one. */
  second: string
  /** Two answers that stand side by side until one is chosen. */
  pair: Pair | undefined
  /** Answers that are being written, by the id of their message. */
  live: { [message: string]: Live }
  /** Messages that were left out of a request since the context was full, by the id of the answer. */
  cut: { [message: string]: number }
  /** What went wrong last. */
  failure: string | undefined
  /** A model that a link asked for and that cannot chat here. */
  missing: string | undefined
  /** Said to screen readers. */
  said: 'answered' | 'voted' | undefined
}

export type Session = ReturnType<typeof createSession>

const PAGE = 50
const SCREEN: Screen = {
  now: () => performance.now(),
  nextFrame: then => void requestAnimationFrame(then),
  after: (ms, then) => void setTimeout(then, ms),
}

export function createSession(bridge: Bridge) {
  const store: Store<ChatState> = createStore<ChatState>({
    list: [],
    more: false,
    listKnown: false,
    search: '',
    current: undefined,
    opening: bridge.own.get('open') !== undefined,
    options: readOptions(bridge.kept.get('options')),
    training: false,
    model: bridge.kept.get('model') ?? '',
    second: '',
    pair: undefined,
    live: {},
    cut: {},
    failure: undefined,
    missing: undefined,
    said: undefined,
  })
  const { get, set } = store
  let searches = 0
  let openings = 0
  /** Chats that were deleted: what still comes for them is not stored. */
  const removed = new Set<string>()
  /** The page is being left: what ends then was not broken. */
  let leaving = false

  const failed = (thrown: unknown): void => set({ failure: toHubFailure(thrown).message })
  const outbox = createOutbox(bridge, failed)
  const farewell = createFarewell(bridge)
  const pairs = createPairs(bridge)
  const writingIn = (id: string | undefined): string[] =>
    Object.entries(get().live).flatMap(([message, { conversation }]) => (conversation === id ? [message] : []))

  async function refresh(limit = Math.max(PAGE, get().list.length)): Promise<void> {
    const search = get().search.trim()
    const turn = ++searches
    const query = new URLSearchParams({ limit: String(Math.min(200, limit)), ...(search !== '' && { search }) })
    try {
      const { data, has_more } = await bridge.request<ConversationList>('GET', `/v1/chats?${query}`)
      // A slower answer to an older question is too late.
      if (turn === searches) set({ list: data, more: has_more, listKnown: true })
    } catch (thrown) {
      if (!toHubFailure(thrown).unreachable) failed(thrown)
    }
  }

  async function open(id: string | undefined): Promise<void> {
    const turn = ++openings
    // Whoever picked another chat meanwhile wants to see that one.
    const isLate = (): boolean => turn !== openings
    bridge.own.set('open', id)
    if (id === undefined) {
      set({ current: undefined, pair: undefined, failure: undefined, training: false, opening: false })
      return
    }
    set({ opening: true, failure: undefined })
    const read = async (): Promise<ConversationWhole> => {
      await outbox.flush()
      return bridge.request<ConversationWhole>('GET', `/v1/chats/${id}`)
    }
    try {
      const before = writingIn(id)
      let current = await read()
      const isMissing = (answer: string): boolean =>
        get().live[answer] === undefined && current.messages.every(message => message.id !== answer)
      // An answer that ended while the chat was read.
      if (!isLate() && before.some(isMissing)) current = await read()
      if (isLate()) return
      const { model } = get()
      set({ current, opening: false, pair: pairs.find(current, writingIn(id)), model: current.model || model })
    } catch (thrown) {
      if (isLate()) return
      const failure = toHubFailure(thrown)
      set({ opening: false, ...(!failure.unreachable && { failure: failure.message, current: undefined }) })
      // What is still shown is what a reload brings back.
      bridge.own.set('open', failure.unreachable ? (get().current?.id ?? id) : undefined)
    }
  }

  /** Another tab may have gone on with the open conversation. */
  async function revisit(): Promise<void> {
    const { current } = get()
    const isBusy = (): boolean => writingIn(current?.id).length > 0 || outbox.store.get().letters.length > 0
    if (current === undefined || isBusy()) return
    const found = await bridge.request<ConversationWhole>('GET', `/v1/chats/${current.id}`).catch(() => undefined)
    // Only if nothing was done here meanwhile.
    if (found === undefined || get().current !== current || isBusy()) return
    if (found.updated_at === current.updated_at && found.leaf === current.leaf) return
    set({ current: found, pair: get().pair && pairs.find(found) })
  }

  /** Shows a message at once and stores it; when the hub is away, as soon as it is back. */
  async function put(conversation: string, message: ConversationMessage, last = false): Promise<void> {
    const { current } = get()
    if (current?.id === conversation) set({ current: withMessage(current, message) })
    const { id, created_at: _, ...body } = message
    await outbox.put(`/v1/chats/${conversation}/messages/${id}`, body satisfies ConversationMessageIn, last)
  }

  function drop(message: string): void {
    const { [message]: _, ...live } = get().live
    set({ live })
  }

  async function update(id: string, changes: ConversationUpdate): Promise<void> {
    const { current, list } = get()
    if (current?.id === id) set({ current: { ...current, ...changes } as ConversationWhole })
    set({ list: list.map(one => (one.id === id ? ({ ...one, ...changes } as Conversation) : one)) })
    await bridge.request('PATCH', `/v1/chats/${id}`, changes).catch(failed)
  }

  /** The open conversation, begun if there is none. */
  async function beginChat(title: string): Promise<ConversationWhole | undefined> {
    const { current, options, training, model } = get()
    if (current !== undefined) return current
    const turn = openings
    try {
      const made = await bridge.request<Conversation>('POST', '/v1/chats', { title, model, training, options })
      const whole = { ...made, messages: [] }
      set({ list: [made, ...get().list] })
      // Another chat that was opened meanwhile stays in view; the question is answered all the same.
      if (turn === openings) {
        set({ current: whole })
        bridge.own.set('open', made.id)
      }
      return whole
    } catch (thrown) {
      failed(thrown)
      return undefined
    }
  }

  /**
   * @param chat as it was when it was asked, whatever is in view by now
   * @param before an answer that goes on
   */
  async function answer(
    chat: ConversationWhole,
    parent: string,
    model: string,
    before?: ConversationMessage,
  ): Promise<void> {
    const conversation = chat.id
    const id = before?.id ?? newId()
    const stopper = new AbortController()
    const begun: Answer = { content: before?.content ?? '', ...(before?.reasoning && { reasoning: before.reasoning }) }
    let now: Answer = begun
    const head = { id, parent, role: 'assistant' as const, model, created_at: before?.created_at ?? Date.now() }
    const stop = (): void => stopper.abort()
    const show = paced(() => {
      const live = get().live[id]
      if (live !== undefined) set({ live: { ...get().live, [id]: { ...live, ...now } } })
    }, SCREEN)
    set({
      live: { ...get().live, [id]: { ...begun, model, conversation, parent, stop } },
      failure: undefined,
      said: undefined,
    })
    const branch = branchOf(chat.messages, before?.id ?? parent)
    const question: Question = { model, options: chat.options, branch }
    let end: Pick<ConversationMessage, 'finish' | 'error'> = {}
    try {
      const { body, left } = await ask(bridge, question, before !== undefined, stopper.signal)
      if (left > 0) set({ cut: { ...get().cut, [id]: left } })
      for await (const part of streamAnswer(bridge, body, begun, stopper.signal, () => performance.now())) {
        now = part
        show()
        farewell.set(conversation, { ...head, ...now })
      }
      set({ said: 'answered' })
    } catch (thrown) {
      if (leaving) return
      end = stopper.signal.aborted ? { finish: 'stopped' } : { finish: 'broken', error: toHubFailure(thrown).message }
    }
    drop(id)
    farewell.drop(id)
    if (removed.has(conversation)) return
    await put(conversation, { ...head, ...now, ...end })
    void refresh()
  }

  async function send(text: string): Promise<boolean> {
    const { model, second } = get()
    const chat = await beginChat(titleOf(text))
    if (chat === undefined) return false
    const parent = branchOf(chat.messages, chat.leaf).at(-1)?.id ?? null
    await say(chat, parent, text, [model, ...(second !== '' && second !== model ? [second] : [])])
    return true
  }

  /** Stores a question and has it answered by one or two models. */
  async function say(chat: ConversationWhole, parent: string | null, text: string, models: string[]): Promise<void> {
    const message = { id: newId(), parent, role: 'user' as const, content: text, created_at: Date.now() }
    const stored = put(chat.id, message)
    if (get().current?.id === chat.id) set({ pair: undefined })
    await stored
    void answerAll(withMessage(chat, message), message.id, models)
  }

  async function answerAll(chat: ConversationWhole, parent: string, models: string[]): Promise<void> {
    const before = new Set(Object.keys(get().live))
    const running = models.map(model => answer(chat, parent, model))
    const [first, second] = Object.keys(get().live).filter(id => !before.has(id))
    if (first !== undefined && second !== undefined) {
      const pair: Pair = { parent, ids: [first, second] }
      pairs.add(chat.id, pair)
      if (get().current?.id === chat.id) set({ pair })
    }
    await Promise.all(running)
  }

  // A reload or a closed tab keeps what has come of an answer.
  addEventListener('pagehide', () => {
    leaving = true
    for (const [id, { stop: _, conversation, ...now }] of Object.entries(get().live)) {
      const message = { ...now, id, role: 'assistant' as const, created_at: Date.now(), finish: 'stopped' as const }
      // It waits in the outbox as well, in case that this last word is not heard.
      void put(conversation, message, true).catch(() => undefined)
    }
  })
  addEventListener('pageshow', ({ persisted }) => {
    leaving = false
    if (!persisted) return
    // Gone back to: its answers ended when it was left.
    set({ live: {} })
    void open(get().current?.id)
  })

  return {
    store,
    outbox,
    refresh,
    revisit,
    open,
    send,
    /** A new chat with one model, or with two that answer side by side. */
    begin({ model, second }: Link) {
      void open(undefined)
      set({ model, second, missing: undefined })
      bridge.kept.set('model', model)
    },
    /** A link named a model that is not there. */
    miss: (model: string) => set({ missing: model, second: '' }),
    clearFailure: () => set({ failure: undefined, missing: undefined }),
    search(search: string) {
      set({ search })
      void refresh(PAGE)
    },
    showMore: () => refresh(get().list.length + PAGE),
    setModel(model: string) {
      const { current } = get()
      set({ model })
      bridge.kept.set('model', model)
      if (current !== undefined && current.model !== model) void update(current.id, { model })
    },
    setSecond: (second: string) => set({ second, pair: undefined }),
    setOptions(options: ConversationOptions) {
      const { current } = get()
      if (current !== undefined) void update(current.id, { options })
      else {
        set({ options })
        bridge.kept.set('options', JSON.stringify(options))
      }
    },
    setTraining(training: boolean) {
      const { current } = get()
      if (current !== undefined) void update(current.id, { training })
      else set({ training })
    },
    rename: (id: string, title: string) => update(id, { title }),
    async remove(id: string) {
      try {
        await bridge.request('DELETE', `/v1/chats/${id}`)
        removed.add(id)
        for (const live of Object.values(get().live)) if (live.conversation === id) live.stop()
        set({ list: get().list.filter(one => one.id !== id) })
        bridge.own.set(`draft.${id}`, undefined)
        if (get().current?.id === id) await open(undefined)
      } catch (thrown) {
        failed(thrown)
      }
    },
    async export(id: string, format: 'markdown' | 'json') {
      try {
        const made = await bridge.request<ConversationExport>('GET', `/v1/chats/${id}/export?format=${format}`)
        bridge.save(made.filename, made.media_type, made.content)
      } catch (thrown) {
        failed(thrown)
      }
    },
    stop() {
      for (const live of Object.values(get().live)) if (live.conversation === get().current?.id) live.stop()
    },
    /** The same question again, answered by the model that is chosen now. */
    regenerate(message: ConversationMessage) {
      const { current, model } = get()
      if (current === undefined || message.parent === null) return
      // Behind a third answer there is no pair to choose from.
      set({ pair: undefined })
      void answerAll(current, message.parent, [model])
    },
    /** Another wording of a question, beside it. */
    edit(message: ConversationMessage, text: string) {
      const { current, model } = get()
      if (current !== undefined) void say(current, message.parent, text, [model])
    },
    continueAnswer(message: ConversationMessage) {
      const { current, model } = get()
      if (current === undefined || message.parent === null) return
      void answer(current, message.parent, model, message)
    },
    /** What the tools said to the calls of a message, one behind the other; then the model goes on. */
    async answerCalls(caller: ConversationMessage, answers: { call: string; content: string }[]) {
      const { current, model } = get()
      if (current === undefined) return
      let chat = current
      let parent = caller.id
      for (const { call, content } of answers) {
        const about = { id: newId(), parent, role: 'tool' as const, created_at: Date.now() }
        const message = { ...about, content, tool_call_id: call }
        await put(chat.id, message)
        chat = withMessage(chat, message)
        parent = about.id
      }
      void answer(chat, parent, model)
    },
    showBranch(id: string) {
      const { current } = get()
      if (current === undefined) return
      const leaf = lastLeaf(childrenOf(current.messages), id)
      void update(current.id, { leaf })
      set({ pair: pairs.find({ ...current, leaf }) })
    },
    async judge(message: ConversationMessage, feedback: 'good' | 'bad') {
      const { current } = get()
      if (current === undefined) return
      const { feedback: before, ...rest } = message
      const { leaf } = current
      await put(current.id, before === feedback ? rest : { ...rest, feedback })
      if (leaf !== message.id) await update(current.id, { leaf })
    },
    /** One of two answers is better: the conversation goes on from it, and the models' figures count it. */
    async choose(better: string) {
      const { current, pair } = get()
      const worse = pair?.ids.find(id => id !== better)
      const [good, bad] = [better, worse].map(id => current?.messages.find(message => message.id === id))
      if (current === undefined || pair === undefined || good === undefined || bad === undefined) return
      set({ pair: undefined })
      pairs.drop(pair)
      try {
        await put(current.id, { ...bad, feedback: 'bad' })
        await put(current.id, { ...good, feedback: 'good' })
        if (good.model && bad.model) {
          await vote(bridge, good.model, bad.model).catch(thrown => {
            // With a key that may not begin a test, the choice stands in the messages alone.
            if (toHubFailure(thrown).status !== 403) throw thrown
          })
        }
        set({ said: 'voted' })
      } catch (thrown) {
        failed(thrown)
      }
    },
  }
}

/** With a message, new or in the place of what it was, as the end of the branch. */
function withMessage(chat: ConversationWhole, message: ConversationMessage): ConversationWhole {
  const isKnown = chat.messages.some(({ id }) => id === message.id)
  const messages = isKnown
    ? chat.messages.map(one => (one.id === message.id ? message : one))
    : [...chat.messages, message]
  return { ...chat, messages, leaf: message.id }
}

function readOptions(text: string | undefined): ConversationOptions {
  try {
    return text === undefined ? {} : (JSON.parse(text) as ConversationOptions)
  } catch {
    return {}
  }
}
