/** What a person has to know before asking: no hub, no model, only a toy, or something that failed. */
import { GetModel, Pulls } from '../get_model.tsx'
import { chatModels } from '../hub_state.ts'
import { IconButton } from '../icons.tsx'
import { useStore } from '../store.ts'
import { useText } from '../texts.ts'
import type { Parts } from './parts.ts'

export function Notices({ bridge, hub, session }: Parts) {
  const t = useText()
  const { lost, models, known } = useStore(hub, state => state)
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
          <strong>{usable.length === 0 ? t.noModelTitle : t.toyTitle}</strong> {usable.length > 0 && t.toyText}
          <Pulls bridge={bridge} hub={hub} />
          <details>
            <summary>{t.getModel}</summary>
            <GetModel bridge={bridge} hub={hub} most={3} />
          </details>
        </aside>
      )}
    </div>
  )
}
