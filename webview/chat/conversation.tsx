/** The messages of the branch that is looked at, the latest in view, with answers that are being written. */
import { startTransition, useEffect, useLayoutEffect, useMemo, useRef, useState } from 'react'
import type { ConversationMessage } from '../../server/wire/conversations.ts'
import { useStore } from '../store.ts'
import { useText } from '../texts.ts'
import { Message } from './message.tsx'
import type { Parts } from './parts.ts'
import type { ChatState, Live } from './session.ts'
import { branchOf, childrenOf } from './tree.ts'

/** Messages that are drawn at once when a conversation is opened: more than a window shows. */
const FIRST = 12
/** Messages that are drawn as soon as there is time, and a quarter of what each wish for more adds. */
const SHOWN = 60
/** So near to the end, the view stays at the end while an answer grows. */
const NEAR_PX = 80
const NONE: ConversationMessage[] = []

export function Conversation(parts: Parts) {
  const { session } = parts
  const t = useText()
  const current = useStore(session.store, state => state.current)
  const pair = useStore(session.store, state => state.pair)
  const cut = useStore(session.store, state => state.cut)
  const said = useStore(session.store, state => state.said)
  // Which answers are being written, not their words: those are drawn many times a second, each by its own message.
  const writingIds = useStore(session.store, writingHere)
  const [asked, setAsked] = useState<{ chat: string | undefined; count: number }>({ chat: undefined, count: SHOWN })
  const scroller = useRef<HTMLDivElement>(null)
  const content = useRef<HTMLDivElement>(null)
  const atEnd = useRef(true)

  const chat = current?.id
  const shown = asked.chat === chat ? asked.count : FIRST
  const messages = current?.messages
  const writing = useMemo(() => {
    const { live } = session.store.get()
    return writingIds === '' ? [] : writingIds.split(' ').map(id => fromLive(id, live[id]!))
  }, [writingIds, session])
  // An answer that is being written anew stands where it will stand: behind its question.
  const growing = writing.find(({ id }) => messages?.every(message => message.id !== id))
  const end = growing?.parent ?? (pair === undefined ? (current?.leaf ?? null) : pair.parent)
  const branch = useMemo(() => branchOf(messages ?? [], end), [messages, end])
  const children = useMemo(() => childrenOf(messages ?? []), [messages])
  const first = Math.max(0, branch.length - shown)
  const added = writing.filter(({ id }) => !branch.some(message => message.id === id))
  const beside = pair?.ids.map(id => added.find(one => one.id === id) ?? messages?.find(one => one.id === id))
  const isEmpty = current === undefined || (messages?.length === 0 && writing.length === 0)

  // biome-ignore lint/correctness/useExhaustiveDependencies: another conversation begins at its end.
  useLayoutEffect(() => {
    atEnd.current = true
    toEnd(scroller.current)
  }, [chat])
  useEffect(() => startTransition(() => setAsked({ chat, count: SHOWN })), [chat])
  // The end stays in view while the text grows. Told of the new height, nobody has to ask for it.
  useEffect(() => {
    if (content.current === null) return
    const observer = new ResizeObserver(() => {
      if (atEnd.current) toEnd(scroller.current)
    })
    observer.observe(content.current)
    return () => observer.disconnect()
  }, [])

  const one = (message: ConversationMessage) => (
    <Message
      key={message.id}
      {...parts}
      message={message}
      siblings={children.get(message.parent) ?? NONE}
      left={cut[message.id] ?? 0}
      isLast={message.id === branch.at(-1)?.id && added.length === 0}
      busy={writing.length > 0}
      inPair={pair?.ids.includes(message.id) === true}
    />
  )

  return (
    <div
      className="scroller"
      ref={scroller}
      onScroll={({ currentTarget: { scrollTop, scrollHeight, clientHeight } }) => {
        atEnd.current = scrollHeight - scrollTop - clientHeight < NEAR_PX
      }}
    >
      <div ref={content} className={isEmpty ? 'greeting' : `messages ${shown > SHOWN ? 'many' : ''}`}>
        {isEmpty ? (
          <>
            <h1>{t.greeting}</h1>
            <p>{t.greetingHint}</p>
          </>
        ) : (
          <section aria-label={t.conversation}>
            <h1 className="hidden">{current.title || t.untitled}</h1>
            {first > 0 && (
              <button
                type="button"
                className="link earlier"
                onClick={() => setAsked({ chat, count: shown + SHOWN * 4 })}
              >
                {t.showEarlier(first)}
              </button>
            )}
            {branch.slice(first).map(one)}
            {beside !== undefined ? (
              <div className="pair">{beside.filter(message => message !== undefined).map(one)}</div>
            ) : (
              added.map(one)
            )}
          </section>
        )}
      </div>
      <div role="status" className="hidden">
        {said !== undefined && t[said]}
      </div>
    </div>
  )
}

/** Ids of the answers that are written in the open conversation, as one text: equal while they are the same. */
function writingHere({ live, current }: ChatState): string {
  const mine = Object.keys(live).filter(id => live[id]?.conversation === current?.id)
  return mine.join(' ')
}

function toEnd(element: HTMLElement | null): void {
  if (element) element.scrollTop = element.scrollHeight
}

/** Its words come from the state. */
function fromLive(id: string, { parent, model }: Live): ConversationMessage {
  return { id, parent, model, role: 'assistant', content: '', created_at: 0 }
}
