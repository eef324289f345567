/** Where a message is written: the draft outlives a reload, and the context's fill is seen before it is sent. */
import { type RefObject, useEffect, useLayoutEffect, useMemo, useState } from 'react'
import type { ConversationMessage } from '../../server/wire/conversations.ts'
import type { ModelStatusOut } from '../../server/wire/system.ts'
import { IconButton } from '../icons.tsx'
import { useStore } from '../store.ts'
import { useLanguage, useText } from '../texts.ts'
import { roomOf } from './ask.ts'
import type { Parts } from './parts.ts'
import { branchOf, tooMany } from './tree.ts'

/** Letters of a token, about; Vietnamese has fewer, so that the meter fills rather too early. */
const LETTERS_PER_TOKEN = 3

export function Composer({ bridge, hub, session, input }: Parts & { input: RefObject<HTMLTextAreaElement | null> }) {
  const t = useText()
  // Each by itself: an answer that streams in changes the state many times a second.
  const current = useStore(session.store, state => state.current)
  const model = useStore(session.store, state => state.model)
  const opening = useStore(session.store, state => state.opening)
  const isWriting = useStore(session.store, state =>
    Object.values(state.live).some(({ conversation }) => conversation === state.current?.id),
  )
  const models = useStore(hub, state => state.models)
  const key = `draft.${current?.id ?? 'new'}`
  const [draft, setDraft] = useState({ key, text: bridge.own.get(key) ?? '' })
  const text = draft.key === key ? draft.text : ''
  const canSend = text.trim() !== '' && model !== '' && !isWriting && !opening

  useEffect(() => setDraft({ key, text: bridge.own.get(key) ?? '' }), [key, bridge])
  // biome-ignore lint/correctness/useExhaustiveDependencies: the height follows the text.
  useLayoutEffect(() => {
    const element = input.current
    if (!element) return
    element.rows = 1
    const line = Number.parseFloat(getComputedStyle(element).lineHeight) || 20
    element.rows = Math.min(12, Math.max(1, Math.floor((element.scrollHeight - 8) / line)))
  }, [text, input])

  const write = (changed: string): void => {
    setDraft({ key, text: changed })
    bridge.own.set(key, changed === '' ? undefined : changed)
  }
  // What the editor sends belongs to the chat that is open, once it is.
  useEffect(() => {
    if (opening) return
    bridge.editor?.drafts(given => {
      const before = bridge.own.get(key)?.trimEnd()
      const changed = before ? `${before}\n\n${given}` : given
      bridge.own.set(key, changed)
      setDraft({ key, text: changed })
      input.current?.focus()
    })
    return () => bridge.editor?.drafts(undefined)
  }, [opening, key, bridge, input])
  async function send(): Promise<void> {
    if (!canSend) return
    write('')
    // A chat that could not be begun gives the words back.
    if (!(await session.send(text))) write(text)
  }

  return (
    <div className="composer">
      <div className="composer-box">
        <textarea
          id="message"
          ref={input}
          rows={1}
          value={text}
          placeholder={t.placeholder}
          aria-label={t.placeholder}
          onChange={event => write(event.target.value)}
          onKeyDown={event => {
            if (event.key !== 'Enter' || event.shiftKey || event.nativeEvent.isComposing) return
            event.preventDefault()
            void send()
          }}
        />
        {isWriting ? (
          <IconButton icon="stop" label={t.stop} className="send" onClick={session.stop} />
        ) : (
          <IconButton icon="send" label={t.send} className="send" disabled={!canSend} onClick={() => void send()} />
        )}
      </div>
      <ContextMeter
        session={session}
        messages={current?.messages}
        leaf={current?.leaf ?? null}
        draft={text}
        context={contextOf(models, model)}
      />
    </div>
  )
}

function ContextMeter(props: {
  session: Parts['session']
  messages: ConversationMessage[] | undefined
  leaf: string | null
  draft: string
  context: number | undefined
}) {
  const t = useText()
  const language = useLanguage()
  const { session, messages, leaf, draft, context } = props
  const cut = useStore(session.store, state => state.cut)
  const branch = useMemo(() => branchOf(messages ?? [], leaf), [messages, leaf])
  if (context === undefined) return null
  const counted = branch.findLastIndex(({ prompt_tokens }) => prompt_tokens !== undefined)
  const { id, prompt_tokens = 0, completion_tokens = 0 } = branch[counted] ?? {}
  const known = prompt_tokens + completion_tokens
  // What was left out of the last request is left out of the next one as well.
  const before = id === undefined ? 0 : (cut[id] ?? 0)
  const sent = branch.slice(before)
  const lettersOf = (messages: typeof branch): number => messages.reduce((sum, { content }) => sum + content.length, 0)
  const fresh = Math.ceil((lettersOf(branch.slice(counted + 1)) + draft.length) / LETTERS_PER_TOKEN)
  const used = known + fresh
  const perLetter = known / Math.max(1, lettersOf(branch.slice(before, counted + 1)))
  const tokens = sent.map(({ content }, index) =>
    Math.ceil(content.length * (index + before <= counted ? perLetter : 1 / LETTERS_PER_TOKEN)),
  )
  const question = { role: 'user', tokens: Math.ceil(draft.length / LETTERS_PER_TOKEN) }
  const left =
    used <= roomOf(context) && before === 0
      ? 0
      : before + tooMany([...sent, question], [...tokens, question.tokens], roomOf(context))
  const text = t.contextUsed(used.toLocaleString(language), context.toLocaleString(language))
  return (
    <div className="context" title={text}>
      <meter
        aria-label={t.context}
        aria-valuetext={text}
        min={0}
        max={context}
        high={context * 0.8}
        value={Math.min(used, context)}
      />
      <span>{text}</span>
      {left > 0 && <span className="problem">{t.contextFull(left)}</span>}
    </div>
  )
}

/** In tokens; what the running model has, else what its file promises. */
function contextOf(models: ModelStatusOut[], id: string): number | undefined {
  const model = models.find(each => each.id === id)
  const base = models.find(each => each.id === model?.parent)
  return (model?.worker ?? base?.worker)?.context_tokens ?? model?.facts?.context_length
}
