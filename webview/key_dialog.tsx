/** Asks for an API key, for as long as the hub does. */
import { useEffect, useRef, useState } from 'react'
import type { Access } from './access.ts'
import type { Bridge } from './bridge.ts'
import { useStore } from './store.ts'
import { useText } from './texts.ts'

/** Nothing in a panel, for which the editor shows the key. */
export function KeyDialog({ bridge }: { bridge: Bridge }) {
  return bridge.access === undefined ? undefined : <Ask access={bridge.access} />
}

function Ask({ access }: { access: Access }) {
  const t = useText()
  const asked = useStore(access.store, state => state.asked)
  const [text, setText] = useState('')
  const [isNone, setIsNone] = useState(false)
  const dialog = useRef<HTMLDialogElement>(null)
  useEffect(() => {
    if (asked === 'no') dialog.current?.close()
    else if (dialog.current?.open === false) dialog.current.showModal()
  }, [asked])
  const problem = isNone ? t.keyNone : asked === 'refused' ? t.keyRefused : undefined
  return (
    <dialog
      ref={dialog}
      aria-labelledby="key-title"
      onCancel={event => event.preventDefault()}
      onClose={() => access.store.get().asked !== 'no' && dialog.current?.showModal()}
    >
      <form
        className="key-form"
        onSubmit={event => {
          event.preventDefault()
          const isKey = access.give(text)
          setIsNone(!isKey)
          if (isKey) setText('')
        }}
      >
        <h2 id="key-title">{t.keyTitle}</h2>
        <p>
          {t.keyHint} <code>ai-hub keys create {t.keyName}</code>
        </p>
        <input
          type="password"
          autoComplete="current-password"
          aria-label={t.key}
          aria-invalid={problem !== undefined}
          aria-describedby="key-problem"
          placeholder="sk-hub-…"
          value={text}
          onChange={event => {
            setText(event.target.value)
            setIsNone(false)
          }}
        />
        <p id="key-problem" className="problem" role="alert">
          {problem}
        </p>
        <p className="hint">{t.keyKept}</p>
        <div className="row">
          <button type="submit" disabled={text.trim() === ''}>
            {t.keyUse}
          </button>
        </div>
      </form>
    </dialog>
  )
}

/** Lets the browser forget the key; nothing where it keeps none. */
export function ForgetKey({ access }: { access: Access }) {
  const t = useText()
  const has = useStore(access.store, state => state.has)
  if (!has) return undefined
  return (
    <button
      type="button"
      className="link"
      onClick={() => {
        access.forget()
        // What the page shows came with the key.
        location.reload()
      }}
    >
      {t.keyForget}
    </button>
  )
}
