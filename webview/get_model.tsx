/** Getting a model: what suits this machine, a field for any other, and the downloads with what can be done about them. */
import { type FormEvent, useEffect, useState } from 'react'
import type { PullOut, Suggestion } from '../server/wire/pull.ts'
import type { Bridge } from './bridge.ts'
import { toHubFailure } from './failure.ts'
import type { HubState } from './hub_state.ts'
import { type Store, useStore } from './store.ts'
import { durationText, sizeText, useLanguage, useText } from './texts.ts'

type Deps = { bridge: Bridge; hub: Store<HubState> }

/** @param most suggestions that are shown before somebody asks for all */
export function GetModel({ bridge, hub, most = 4 }: Deps & { most?: number }) {
  const t = useText()
  const language = useLanguage()
  const pulls = useStore(hub, state => state.pulls)
  const connected = useStore(hub, state => state.connected)
  const [suggestions, setSuggestions] = useState<Suggestion[]>()
  const [all, setAll] = useState(false)
  const [failure, setFailure] = useState<string>()
  const [asking, setAsking] = useState<string>()
  const arrived = pulls.filter(({ state }) => state === 'done').length

  // biome-ignore lint/correctness/useExhaustiveDependencies: what has arrived is no longer offered.
  useEffect(() => {
    if (!connected) return
    bridge
      .request<{ data: Suggestion[] }>('GET', '/v1/models/suggested')
      .then(({ data }) => setSuggestions(data))
      .catch((thrown: unknown) => {
        // A hub that went away is said elsewhere; it is asked again when it is back.
        const { unreachable, message } = toHubFailure(thrown)
        if (!unreachable) setFailure(message)
      })
  }, [bridge, connected, arrived])

  /** @returns whether the hub took it */
  async function get(model: string): Promise<boolean> {
    setFailure(undefined)
    setAsking(model)
    try {
      await bridge.request('POST', '/v1/models/pull', { model })
      return true
    } catch (thrown) {
      setFailure(toHubFailure(thrown).message)
      return false
    } finally {
      setAsking(undefined)
    }
  }
  const isUnderWay = (model: string): boolean =>
    asking === model ||
    pulls.some(pull => pull.model === model && !['done', 'cancelled', 'failed'].includes(pull.state))

  async function submit(event: FormEvent<HTMLFormElement>): Promise<void> {
    event.preventDefault()
    const form = event.currentTarget
    const name = String(new FormData(form).get('model') ?? '').trim()
    if (name !== '' && (await get(name))) form.reset()
  }

  const shown = suggestions?.slice(0, all ? undefined : most) ?? []
  return (
    <div className="get-model">
      <p className="hint">{t.getModelHint}</p>
      <ul className="suggestions">
        {shown.map(each => (
          <li key={each.id}>
            <div className="model-line">
              <span className="model-name">{each.name}</span>
              {each.installed ? (
                <span className="hint">{t.isThere}</span>
              ) : (
                <button
                  type="button"
                  className="secondary"
                  aria-label={`${t.get} ${each.name}`}
                  disabled={isUnderWay(each.model)}
                  onClick={() => void get(each.model)}
                >
                  {t.get}
                </button>
              )}
            </div>
            {each.best_for.length > 0 && (
              <div className="best">{t.bestFor(each.best_for.map(purpose => t.purposes[purpose]))}</div>
            )}
            <div className="hint">
              {each.purposes.map(purpose => t.purposes[purpose]).join(', ')} · ~{sizeText(each.bytes, language)} ·{' '}
              {each.license} · {t.fits[each.memory.fit](sizeText(each.memory.need_bytes, language))}
            </div>
          </li>
        ))}
      </ul>
      {suggestions?.length === 0 && <p className="hint">{t.nothingFits}</p>}
      {suggestions !== undefined && suggestions.length > shown.length && (
        <button type="button" className="link" onClick={() => setAll(true)}>
          {t.showMore}
        </button>
      )}
      <form className="get-other" onSubmit={event => void submit(event)}>
        <input
          name="model"
          aria-label={t.getOther}
          placeholder={t.getOther}
          autoComplete="off"
          spellCheck={false}
          maxLength={2000}
        />
        <button type="submit" className="secondary" disabled={asking !== undefined}>
          {t.get}
        </button>
      </form>
      {failure !== undefined && (
        <p className="problem" role="alert">
          {failure}
        </p>
      )}
    </div>
  )
}

/** The downloads, the newest first; nothing where there are none. */
export function Pulls({ bridge, hub }: Deps) {
  const t = useText()
  const pulls = useStore(hub, state => state.pulls)
  const [failures, setFailures] = useState<{ [id: string]: string }>({})
  if (pulls.length === 0) return null

  async function act(id: string, method: 'POST' | 'DELETE', path: string, body?: object): Promise<void> {
    setFailures(({ [id]: _, ...rest }) => rest)
    try {
      await bridge.request(method, path, body)
      // One that was done is only taken off the list, which no event tells.
      if (method === 'DELETE' && pulls.some(pull => pull.id === id && pull.state === 'done')) {
        hub.set({ pulls: hub.get().pulls.filter(pull => pull.id !== id) })
      }
    } catch (thrown) {
      const { message } = toHubFailure(thrown)
      setFailures(before => ({ ...before, [id]: message }))
    }
  }

  return (
    <ul className="pulls" aria-label={t.downloads}>
      {pulls.map(pull => (
        <Pull
          key={pull.id}
          pull={pull}
          failure={failures[pull.id]}
          stop={() => void act(pull.id, 'DELETE', `/v1/models/pulls/${pull.id}`)}
          discard={() => void act(pull.id, 'DELETE', `/v1/models/pulls/${pull.id}?discard=true`)}
          goOn={() => void act(pull.id, 'POST', '/v1/models/pull', { model: pull.model, folder: pull.folder })}
        />
      ))}
    </ul>
  )
}

function Pull(props: { pull: PullOut; failure: string | undefined; stop(): void; discard(): void; goOn(): void }) {
  const { pull, failure, stop, discard, goOn } = props
  const t = useText()
  const language = useLanguage()
  const { name, state, bytes, total_bytes: total, bytes_per_second: rate, seconds_left: left } = pull
  const runs = state === 'queued' || state === 'running' || state === 'checking'
  const problem = failure ?? pull.error
  const facts = [
    total === undefined ? sizeText(bytes, language) : t.ofBytes(sizeText(bytes, language), sizeText(total, language)),
    state === 'running' ? undefined : t.pullState[state],
    rate !== undefined && rate > 0 ? `${sizeText(rate, language)}/s` : undefined,
    left === undefined ? undefined : t.timeLeft(durationText(left, t)),
  ]
  const button = (label: string, act: () => void) => (
    <button type="button" className="secondary" aria-label={`${label} ${name}`} onClick={act}>
      {label}
    </button>
  )
  return (
    <li>
      <div className="model-line">
        <span className="model-name">{name}</span>
        <span className="row">
          {runs && button(t.cancel, stop)}
          {(state === 'cancelled' || state === 'failed') && button(t.goOn, goOn)}
          {(state === 'cancelled' || state === 'failed') && button(t.discard, discard)}
          {state === 'done' && button(t.dismiss, stop)}
        </span>
      </div>
      {runs && <progress aria-label={name} max={1} {...(total ? { value: Math.min(1, bytes / total) } : {})} />}
      <div className="hint">{facts.filter(fact => fact !== undefined).join(' · ')}</div>
      {pull.note !== undefined && <div className="hint">{pull.note}</div>}
      {problem !== undefined && <div className="problem">{problem}</div>}
    </li>
  )
}
