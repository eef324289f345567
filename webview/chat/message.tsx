/** One message: its text, what it thought and called, what it took, and what can be done with it. */
import { memo, useState } from 'react'
import type { ConversationMessage, ToolCall } from '../../server/wire/conversations.ts'
import { IconButton } from '../icons.tsx'
import { useStore } from '../store.ts'
import { decimal, useLanguage, useText } from '../texts.ts'
import { CodeView, LongText, MarkdownView } from './markdown_view.tsx'
import type { Parts } from './parts.ts'

type Props = Parts & {
  message: ConversationMessage
  siblings: ConversationMessage[]
  /** Messages that were left out of its request. */
  left: number
  isLast: boolean
  busy: boolean
  inPair: boolean
}

export const Message = memo(function Message(props: Props) {
  const { session, bridge, message, isLast, busy, inPair, left } = props
  const t = useText()
  /** The same message while it is being written. */
  const live = useStore(session.store, state => state.live[message.id])
  const [editing, setEditing] = useState(false)
  const leaveEditor = (): void => {
    setEditing(false)
    // What had the keyboard is gone.
    document.getElementById('message')?.focus()
  }
  const { role } = message
  const { content, reasoning, tool_calls } = live ?? message
  const wantsJson = useStore(session.store, state => state.current?.options.schema !== undefined)
  const name = role === 'user' ? t.you : role === 'tool' ? t.toolAnswer : (message.model ?? '')

  return (
    <article
      className={`message ${role} ${live === undefined ? '' : 'live'}`}
      aria-label={name}
      aria-busy={live !== undefined}
    >
      <div className="message-head">{name}</div>
      {left > 0 && <p className="hint">{t.contextCut(left)}</p>}
      {reasoning && <Reasoning text={reasoning} open={live !== undefined && content === ''} parts={props} />}
      {editing ? (
        <Editor message={message} session={session} done={leaveEditor} />
      ) : role === 'assistant' && wantsJson && content !== '' ? (
        <JsonView text={content} whole={live === undefined} parts={props} />
      ) : role === 'assistant' ? (
        <MarkdownView text={content} bridge={bridge} />
      ) : (
        <LongText text={content} />
      )}
      {live !== undefined && content === '' && !reasoning && <p className="hint waiting">{t.waiting}</p>}
      {tool_calls !== undefined && (
        <ToolCalls
          calls={tool_calls}
          message={message}
          session={session}
          canAnswer={live === undefined && isLast && !busy}
        />
      )}
      {live === undefined && role === 'assistant' && <Ending {...props} />}
      {live === undefined && !editing && (
        <div className="actions">
          {!inPair && <Branches {...props} />}
          <CopyButton {...props} />
          {role === 'user' && (
            <IconButton icon="edit" label={t.edit} disabled={busy} onClick={() => setEditing(true)} />
          )}
          {role === 'assistant' && (
            <>
              <IconButton
                icon="again"
                label={t.regenerate}
                disabled={busy}
                onClick={() => session.regenerate(message)}
              />
              {isLast && tool_calls === undefined && (
                <IconButton
                  icon="forward"
                  label={t.continueAnswer}
                  disabled={busy}
                  onClick={() => session.continueAnswer(message)}
                />
              )}
              {inPair ? (
                <button
                  type="button"
                  className="secondary"
                  disabled={busy}
                  onClick={() => void session.choose(message.id)}
                >
                  {t.better}
                </button>
              ) : (
                (['good', 'bad'] as const).map(feedback => (
                  <IconButton
                    key={feedback}
                    icon={feedback}
                    label={t[feedback]}
                    pressed={message.feedback === feedback}
                    onClick={() => void session.judge(message, feedback)}
                  />
                ))
              )}
              <Figures message={message} />
            </>
          )}
        </div>
      )}
    </article>
  )
})

function Reasoning({ text, open, parts }: { text: string; open: boolean; parts: Parts }) {
  const t = useText()
  return (
    <details className="reasoning" open={open || undefined}>
      <summary>{open ? t.reasoningNow : t.reasoning}</summary>
      <MarkdownView text={text} bridge={parts.bridge} />
    </details>
  )
}

/** An answer that must be JSON, laid out once it is whole. */
function JsonView({ text, whole, parts }: { text: string; whole: boolean; parts: Parts }) {
  const t = useText()
  const pretty = whole ? prettyJson(text) : undefined
  return (
    <>
      <CodeView code={pretty ?? text} language="json" closed={whole} bridge={parts.bridge} />
      {whole && <p className="hint">{pretty === undefined ? t.answerIsNotJson : t.answerIsJson}</p>}
    </>
  )
}

/** What the model wants to know of tools; while nothing came behind it, the results can be written here. */
function ToolCalls(props: {
  calls: ToolCall[]
  message: ConversationMessage
  session: Parts['session']
  canAnswer: boolean
}) {
  const { calls, message, session, canAnswer } = props
  const t = useText()
  const [results, setResults] = useState<{ [call: number]: string }>({})
  const call = ({ name, arguments: text }: ToolCall, index: number) => (
    // Not by its id, which may come behind the name.
    <details key={index} className="tool-call" open>
      <summary>
        {t.toolCall} <code>{name}</code>
      </summary>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard. */}
      <pre tabIndex={0}>
        <code>{prettyJson(text) ?? text}</code>
      </pre>
      {canAnswer && (
        <textarea
          aria-label={calls.length === 1 ? t.toolAnswer : `${t.toolAnswer} ${index + 1}: ${name}`}
          placeholder={t.toolAnswer}
          rows={2}
          value={results[index] ?? ''}
          onChange={event => setResults({ ...results, [index]: event.target.value })}
        />
      )}
    </details>
  )
  if (!canAnswer) return calls.map(call)
  return (
    <form
      className="tool-calls"
      onSubmit={event => {
        event.preventDefault()
        const answers = calls.map(({ id }, index) => ({ call: id, content: results[index] ?? '' }))
        void session.answerCalls(message, answers)
      }}
    >
      {calls.map(call)}
      <button type="submit" className="secondary">
        {calls.length === 1 ? t.toolAnswerSend : t.toolAnswersSend}
      </button>
    </form>
  )
}

/** Laid out; undefined while it is not whole. */
function prettyJson(text: string): string | undefined {
  try {
    return JSON.stringify(JSON.parse(text), undefined, 2)
  } catch {
    return undefined
  }
}

/** Why an answer is not whole, and what to do about it. */
function Ending({ message, session, isLast, busy }: Props) {
  const t = useText()
  const { finish, error, content } = message
  if (finish !== 'broken' && finish !== 'length' && finish !== 'stopped') return null
  const text = finish === 'broken' ? t.broken : finish === 'length' ? t.cutOff : t.stopped
  return (
    <p className={`ending ${finish === 'broken' ? 'problem' : 'hint'}`}>
      {text} {error} {finish === 'broken' && t.brokenHint}{' '}
      {isLast && (
        <button
          type="button"
          className="link"
          disabled={busy}
          onClick={() => (content === '' ? session.regenerate(message) : session.continueAnswer(message))}
        >
          {content === '' ? t.regenerate : t.continueAnswer}
        </button>
      )}
    </p>
  )
}

function Branches({ message, siblings, session, busy }: Props) {
  const t = useText()
  const index = siblings.findIndex(({ id }) => id === message.id)
  if (siblings.length < 2 || index < 0) return null
  const go = (step: number) => () => session.showBranch(siblings[index + step]!.id)
  return (
    <span className="branches">
      <IconButton icon="left" label={t.earlierVersion} disabled={busy || index === 0} onClick={go(-1)} />
      <span aria-label={t.branch(index + 1, siblings.length)} role="img">
        {index + 1}/{siblings.length}
      </span>
      <IconButton
        icon="right"
        label={t.laterVersion}
        disabled={busy || index === siblings.length - 1}
        onClick={go(1)}
      />
    </span>
  )
}

function CopyButton({ message, bridge }: Props) {
  const t = useText()
  const [copied, setCopied] = useState(false)
  const copy = (): void => {
    void bridge.copy(message.content).then(() => {
      setCopied(true)
      setTimeout(() => setCopied(false), 1500)
    })
  }
  return <IconButton icon="copy" label={copied ? t.copied : t.copy} onClick={copy} />
}

function Figures({ message }: { message: ConversationMessage }) {
  const t = useText()
  const language = useLanguage()
  const { timings, first_token_ms: first, completion_tokens: tokens } = message
  const parts = [
    ...(tokens === undefined ? [] : [t.tokens(tokens)]),
    ...(timings === undefined || timings.predicted_ms === 0
      ? []
      : [t.perSecond(decimal(timings.predicted_per_second, language))]),
    ...(first === undefined
      ? []
      : [t.firstToken(first < 1000 ? `${Math.round(first)} ms` : `${decimal(first / 1000, language)} s`)]),
  ]
  return parts.length === 0 ? null : <span className="figures">{parts.join(' · ')}</span>
}

function Editor({ message, session, done }: Pick<Props, 'message' | 'session'> & { done(): void }) {
  const t = useText()
  const [text, setText] = useState(message.content)
  const send = (): void => {
    if (text.trim() === '') return
    session.edit(message, text)
    done()
  }
  return (
    <div className="editor">
      <textarea
        aria-label={t.edit}
        rows={Math.min(12, text.split('\n').length + 1)}
        value={text}
        ref={element => {
          if (element && document.activeElement !== element && element.dataset.focused === undefined) {
            element.dataset.focused = ''
            element.focus()
          }
        }}
        onChange={event => setText(event.target.value)}
        onKeyDown={event => {
          if (event.nativeEvent.isComposing) return
          if (event.key === 'Escape') {
            event.stopPropagation()
            done()
          } else if (event.key === 'Enter' && !event.shiftKey) {
            event.preventDefault()
            send()
          }
        }}
      />
      <div className="row">
        <button type="button" className="secondary" onClick={done}>
          {t.cancel}
        </button>
        <button type="button" onClick={send}>
          {t.editSend}
        </button>
      </div>
    </div>
  )
}
