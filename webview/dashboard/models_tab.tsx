/** All models: what they are, whether they are loaded, what they take and how fast they were, and what can be done with them. */
import { useEffect, useState } from 'react'
import { GetModel } from '../get_model.tsx'
import { useStore } from '../store.ts'
import { useText } from '../texts.ts'
import { Downloads } from './downloads.tsx'
import { useFigures } from './figures.ts'
import { ordered } from './model_order.ts'
import { ModelRow } from './model_row.tsx'
import type { Parts } from './parts.ts'
import { Problems } from './problems_panel.tsx'
import { needsModel, SetUp } from './set_up.tsx'
import { useDashboardText } from './texts.ts'

/** With more models a field to find one is shown. */
const MANY = 8

export function ModelsTab(props: Parts) {
  const { bridge, hub, rest } = props
  const d = useDashboardText()
  const t = useText()
  const figures = useFigures()
  const models = useStore(hub, state => state.models)
  const known = useStore(hub, state => state.known)
  const memory = useStore(hub, state => state.load?.memory ?? state.system?.memory)
  const [search, setSearch] = useState('')
  const shown = ordered(models).filter(({ id }) => id.toLowerCase().includes(search.trim().toLowerCase()))
  const resident = models.filter(({ state, parent }) => state === 'ready' && parent === undefined)
  const taken = resident.reduce((sum, { worker, load }) => sum + (load?.rss_bytes ?? worker?.memory_bytes ?? 0), 0)

  // A link names one model: it is brought into view and opened.
  useEffect(() => {
    if (rest !== '' && known) document.getElementById(`model-${rest}`)?.scrollIntoView({ block: 'center' })
  }, [rest, known])

  return (
    <>
      <Problems {...props} kinds={['no_memory', 'failed']} />
      <Downloads {...props} />
      <SetUp {...props} />
      <div className="bar">
        {models.length > MANY && (
          <input
            type="search"
            value={search}
            placeholder={d.findModel}
            aria-label={d.findModel}
            onChange={event => setSearch(event.target.value)}
          />
        )}
        <span className="hint grow">
          {d.modelsLoaded(figures.count(resident.length), figures.count(models.length), figures.size(taken))}
          {memory !== undefined && ` · ${d.memoryFree(figures.size(memory.available_bytes))}`}
        </span>
      </div>
      <ul className="model-list" aria-label={t.models}>
        {shown.map(model => (
          <ModelRow key={model.id} {...props} model={model} isOpen={model.id === rest} />
        ))}
      </ul>
      {known && !needsModel(models) && (
        <details className="card get-more">
          <summary>{d.getMore}</summary>
          <GetModel bridge={bridge} hub={hub} />
        </details>
      )}
      {known && models.length === 0 && <p className="hint">{t.noModelTitle}</p>}
      {models.length > 0 && shown.length === 0 && <p className="hint">{t.nothingFound}</p>}
    </>
  )
}
