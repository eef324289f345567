/** The messages of the branch that is looked at, the latest in view, with answers that are being written. */
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from 'react'
import type { ConversationMessage } from '../../server/wire/conversations.ts'
import { useStore } from '../store.ts'
import { useText } from '../texts.ts'
import { Message } from './message.tsx'
import type { Parts } from './parts.ts'
import type { Live } from './session.ts'
import { branchOf, childrenOf } from './tree.ts'

/** Messages that are drawn at first, and that each wish for more adds. */
const SHOWN = 60
/** So near to the end, the view stays at the end while an answer grows. */
const NEAR_PX = 80

export function Conversation(parts: Parts) {
  const { session } = parts
  const t = useText()
  const { current, live, pair, cut, said } = useStore(session.store, state => state)
  const [shown, setShown] = useState(SHOWN)
  const scroller = useRef<HTMLDivElement>(null)
  const atEnd = useRef(true)

  const mine = Object.entries(live).filter(([, { conversation }]) => conversation === current?.id)
  const messages = current?.messages
  const leaf = current?.leaf ?? null
  // An answer that is being written anew stands where it will stand: behind its question.
  const growing = mine.find(([id]) => messages?.every(message => message.id !== id))
  const end = growing?.[1].parent ?? (pair === undefined ? leaf : pair.parent)
  const branch = useMemo(() => branchOf(messages ?? [], end), [messages, end])
  const children = useMemo(() => childrenOf(messages ?? []), [messages])
  const first = Math.max(0, branch.length - shown)
  const writing = mine
    .filter(([id]) => !branch.some(message => message.id === id))
    .map(([id, one]) => fromLive(id, one))
  const beside = pair?.ids.map(id => writing.find(one => one.id === id) ?? messages?.find(one => one.id === id))

  // biome-ignore lint/correctness/useExhaustiveDependencies: another conversation begins at its end.
  useEffect(() => {
    setShown(SHOWN)
    atEnd.current = true
  }, [current?.id])
  // biome-ignore lint/correctness/useExhaustiveDependencies: whatever makes the text longer moves its end.
  useLayoutEffect(() => {
    const element = scroller.current
    if (element && atEnd.current) element.scrollTop = element.scrollHeight
  }, [branch, live, pair])

  const one = (message: ConversationMessage) => (
    <Message
      key={message.id}
      {...parts}
      message={message}
      live={live[message.id]}
      siblings={children.get(message.parent) ?? []}
      results={children.get(message.id)}
      left={cut[message.id] ?? 0}
      isLast={message.id === branch.at(-1)?.id && writing.length === 0}
      busy={mine.length > 0}
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
      {current === undefined || (messages?.length === 0 && mine.length === 0) ? (
        <div className="greeting">
          <h1>{t.greeting}</h1>
          <p>{t.greetingHint}</p>
        </div>
      ) : (
        <section className="messages" aria-label={t.conversation}>
          <h1 className="hidden">{current.title || t.untitled}</h1>
          {first > 0 && (
            <button type="button" className="link earlier" onClick={() => setShown(shown + SHOWN * 4)}>
              {t.showEarlier(first)}
            </button>
          )}
          {branch.slice(first).map(one)}
          {beside !== undefined ? (
            <div className="pair">{beside.filter(message => message !== undefined).map(one)}</div>
          ) : (
            writing.map(one)
          )}
        </section>
      )}
      <div role="status" className="hidden">
        {said !== undefined && t[said]}
      </div>
    </div>
  )
}

function fromLive(id: string, { stop: _, conversation: __, ...answer }: Live): ConversationMessage {
  return { ...answer, id, role: 'assistant', created_at: 0 }
}
