/** What a person has to know before asking: no hub, no model, only a toy, or something that failed. */

import type { SystemStatus } from '../../server/wire/system.ts'
import { chatModels } from '../hub_state.ts'
import { IconButton } from '../icons.tsx'
import { useStore } from '../store.ts'
import { useText } from '../texts.ts'
import type { Parts } from './parts.ts'

/** Bytes of a parameter in Q4_K_M, with what its context takes. */
const BYTES_PER_PARAMETER = 0.75
/** Usual sizes of models, in billions of parameters. */
const SIZES = [70, 32, 14, 7, 3, 1.5, 0.5]

export function Notices({ hub, session }: Parts) {
  const t = useText()
  const { lost, models, known, system } = useStore(hub, state => state)
  const failure = useStore(session.store, state => state.failure)
  const missing = useStore(session.store, state => state.missing)
  const unsent = useStore(session.outbox.store, state => state.letters.length)
  const usable = chatModels(models)
  const needsModel = known && usable.every(({ toy }) => toy === true)
  return (
    <div className="notices">
      <div role="status">
        {lost && (
          <p className="notice warning">
            <strong>{t.offline}</strong> {t.offlineHint} {unsent > 0 && t.unsaved}
          </p>
        )}
      </div>
      <div role="alert">
        {(failure !== undefined || missing !== undefined) && (
          <p className="notice error">
            <span>{failure === undefined ? t.noSuchModel(missing ?? '') : t.failedTo + failure}</span>
            <IconButton icon="close" label={t.close} onClick={session.clearFailure} />
          </p>
        )}
      </div>
      {needsModel && (
        <aside className="notice">
          <strong>{usable.length === 0 ? t.noModelTitle : t.toyTitle}</strong> {t.toyText}{' '}
          <code>local_models/chat_models</code>. {system !== undefined && t.toyAdvice(parametersFor(system))} {t.toyHow}
        </aside>
      )}
    </div>
  )
}

/** `7B`, `0.5B`: the usual size that fits the card's free memory; on a processor, one that is quick enough as well. */
export function parametersFor({ devices, memory }: Pick<SystemStatus, 'devices' | 'memory'>): string {
  const card = devices.find(({ kind }) => kind !== 'cpu')
  const bytes = card?.free_bytes ?? memory.available_bytes
  const fit = (bytes * 0.85) / BYTES_PER_PARAMETER / 1e9
  const size = SIZES.find(each => each <= fit && (card !== undefined || each <= 3)) ?? SIZES.at(-1)
  return `${size}B`
}
