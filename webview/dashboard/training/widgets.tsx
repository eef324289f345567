/** Small parts that the training tabs share: fields, questions before a deletion, what failed, lists of facts. */
import { type ReactNode, useCallback, useEffect, useId, useRef, useState } from 'react'
import { toHubFailure } from '../../failure.ts'
import { useWords } from './words.ts'

export type Action = {
  busy: boolean
  failure: string | undefined
  /** Runs one thing at a time; what it throws becomes the failure. */
  run(act: (signal: AbortSignal) => Promise<void>): Promise<void>
  /** Ends what runs, without a word. */
  stop(): void
  fail(message: string): void
}

/** What a button does: whether it is at it, and why it did not work. */
export function useAction(): Action {
  const [busy, setBusy] = useState(false)
  const [failure, setFailure] = useState<string>()
  const stopper = useRef<AbortController>(undefined)
  useEffect(() => () => stopper.current?.abort(), [])
  const run = useCallback(async (act: (signal: AbortSignal) => Promise<void>) => {
    stopper.current?.abort()
    const mine = new AbortController()
    stopper.current = mine
    setBusy(true)
    setFailure(undefined)
    try {
      await act(mine.signal)
    } catch (thrown) {
      if (!mine.signal.aborted) setFailure(toHubFailure(thrown).message)
    } finally {
      if (stopper.current === mine) {
        stopper.current = undefined
        setBusy(false)
      }
    }
  }, [])
  const stop = useCallback(() => {
    stopper.current?.abort()
    stopper.current = undefined
    setBusy(false)
  }, [])
  return { busy, failure, run, stop, fail: setFailure }
}

export function Failure({ text }: { text: string | undefined }) {
  const w = useWords()
  return (
    <div role="alert">
      {text !== undefined && (
        <p className="problem">
          {w.failedTo}
          {text}
        </p>
      )}
    </div>
  )
}

/** Said to screen readers, and shown. */
export function Done({ text }: { text: string | undefined }) {
  return <div role="status">{text !== undefined && <p className="done">{text}</p>}</div>
}

export function Field(props: {
  label: string
  hint?: string | undefined
  children(id: string, hint: string): ReactNode
}) {
  const { label, hint, children } = props
  const id = useId()
  const hintId = `${id}-hint`
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      {children(id, hintId)}
      {hint !== undefined && (
        <span className="hint" id={hintId}>
          {hint}
        </span>
      )}
    </div>
  )
}

export function Choice(props: {
  label: string
  hint?: string | undefined
  value: string
  options: readonly (readonly [value: string, text: string])[]
  disabled?: boolean
  set(value: string): void
}) {
  const { label, hint, value, options, disabled, set } = props
  return (
    <Field label={label} hint={hint}>
      {(id, hintId) => (
        <select
          id={id}
          value={value}
          disabled={disabled}
          aria-describedby={hint === undefined ? undefined : hintId}
          onChange={event => set(event.target.value)}
        >
          {options.map(([each, text]) => (
            <option key={each} value={each}>
              {text}
            </option>
          ))}
        </select>
      )}
    </Field>
  )
}

export function TextInput(props: {
  label: string
  hint?: string | undefined
  value: string
  type?: 'text' | 'number' | 'search'
  placeholder?: string
  min?: number
  max?: number
  step?: number | 'any'
  required?: boolean
  set(value: string): void
}) {
  const { label, hint, set, type = 'text', ...rest } = props
  return (
    <Field label={label} hint={hint}>
      {(id, hintId) => (
        <input
          id={id}
          type={type}
          spellCheck={false}
          autoComplete="off"
          aria-describedby={hint === undefined ? undefined : hintId}
          onChange={event => set(event.target.value)}
          {...rest}
        />
      )}
    </Field>
  )
}

export function Switch(props: { label: string; hint?: string | undefined; value: boolean; set(value: boolean): void }) {
  const { label, hint, value, set } = props
  return (
    <label className="switch">
      <input
        type="checkbox"
        role="switch"
        aria-checked={value}
        checked={value}
        onChange={event => set(event.target.checked)}
      />
      <span>
        {label}
        {hint !== undefined && <span className="hint">{hint}</span>}
      </span>
    </label>
  )
}

/** A button that asks before it acts. */
export function Confirm(props: {
  label: string
  question: string
  yes?: string
  no?: string
  danger?: boolean
  disabled?: boolean
  name?: string
  act(): void
}) {
  const { label, question, yes = label, no, danger = true, disabled, name, act } = props
  const w = useWords()
  const dialog = useRef<HTMLDialogElement>(null)
  return (
    <>
      <button
        type="button"
        className={danger ? 'secondary danger' : 'secondary'}
        disabled={disabled}
        aria-label={name}
        onClick={() => dialog.current?.showModal()}
      >
        {label}
      </button>
      <dialog ref={dialog} aria-label={label}>
        <p>{question}</p>
        <div className="row">
          <button type="button" className="secondary" onClick={() => dialog.current?.close()}>
            {no ?? w.cancel}
          </button>
          <button
            type="button"
            onClick={() => {
              dialog.current?.close()
              act()
            }}
          >
            {yes}
          </button>
        </div>
      </dialog>
    </>
  )
}

/** What is said where there is nothing yet: what it is, and the next step. */
export function Empty({ title, hint, children }: { title: string; hint: string; children?: ReactNode }) {
  return (
    <div className="empty">
      <p>
        <strong>{title}</strong>
      </p>
      <p className="hint">{hint}</p>
      {children}
    </div>
  )
}

export type Fact = [name: string, value: ReactNode] | undefined | false

export function Facts({ facts }: { facts: Fact[] }) {
  return (
    <dl className="facts">
      {facts.map(fact =>
        fact === undefined || fact === false ? undefined : (
          <div key={fact[0]}>
            <dt>{fact[0]}</dt>
            <dd>{fact[1]}</dd>
          </div>
        ),
      )}
    </dl>
  )
}

/** The heading of what is open, with the way back; it takes the focus, so that a screen reader says where one is. */
export function Head({ title, back, children }: { title: string; back(): void; children?: ReactNode }) {
  const w = useWords()
  const heading = useRef<HTMLHeadingElement>(null)
  // biome-ignore lint/correctness/useExhaustiveDependencies: another title is another place
  useEffect(() => heading.current?.focus(), [title])
  return (
    <div className="head">
      <button type="button" className="link" onClick={back}>
        {`← ${w.back}`}
      </button>
      <h2 ref={heading} tabIndex={-1}>
        {title}
      </h2>
      {children}
    </div>
  )
}

/** What may be wider or longer than its place; it is reached with the keyboard, so that it can be scrolled. */
export function Scroll({
  name,
  className = 'scroll',
  children,
}: {
  name: string
  className?: string
  children: ReactNode
}) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached with the keyboard
    <section className={className} tabIndex={0} aria-label={name}>
      {children}
    </section>
  )
}

/** Waits until a person has stopped typing. */
export function useSettled<T>(value: T, ms: number): T {
  const [settled, setSettled] = useState(value)
  useEffect(() => {
    const timer = setTimeout(() => setSettled(value), ms)
    return () => clearTimeout(timer)
  }, [value, ms])
  return settled
}
