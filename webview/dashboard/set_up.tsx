/** Shown until there is a model of use: says so, and how to get one that fits this machine. */
import { useState } from 'react'
import type { ModelStatusOut } from '../../server/wire/system.ts'
import { GetModel } from '../get_model.tsx'
import { chatModels } from '../hub_state.ts'
import { useStore } from '../store.ts'
import { useText } from '../texts.ts'
import type { Parts } from './parts.ts'
import { useDashboardText } from './texts.ts'

/** Nothing to chat with is there, or only a toy. */
export const needsModel = (models: readonly ModelStatusOut[]): boolean =>
  chatModels(models).every(({ toy }) => toy === true)

export function SetUp({ bridge, hub }: Parts) {
  const d = useDashboardText()
  const t = useText()
  const models = useStore(hub, state => state.models)
  const known = useStore(hub, state => state.known)
  const system = useStore(hub, state => state.system)
  const [copied, setCopied] = useState(false)
  if (!known || !needsModel(models)) return null
  const separator = system?.platform.startsWith('win32') === true ? '\\' : '/'
  const folder = system && [system.home, 'local_models', 'chat_models'].join(separator)
  const isEmpty = chatModels(models).length === 0
  return (
    <section className="card set-up" aria-label={t.getModel}>
      <h2>{isEmpty ? t.noModelTitle : t.toyTitle}</h2>
      <p>
        {!isEmpty && t.toyText} {d.setUpText}
      </p>
      <h3>{t.getModel}</h3>
      <GetModel bridge={bridge} hub={hub} />
      <h3>{d.copyIn}</h3>
      <p>{d.copyHow}</p>
      {folder !== undefined && (
        <div className="copied">
          <code>{folder}</code>
          <button
            type="button"
            className="secondary"
            onClick={() => void bridge.copy(folder).then(() => setCopied(true))}
          >
            {t.copy}
          </button>
          <span className="hint" role="status">
            {copied && t.copied}
          </span>
        </div>
      )}
    </section>
  )
}
