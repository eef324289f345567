/** The datasets: their list, one of them, or the import of a new one. */
import { useStore } from '../../store.ts'
import { DatasetImport } from './dataset_import.tsx'
import { DatasetView } from './dataset_view.tsx'
import { count, moment } from './figures.ts'
import type { Parts } from './parts.ts'
import { Empty } from './widgets.tsx'
import { useWords } from './words.ts'

/** The name of no dataset: a dot never comes first. */
const IMPORT = '.import'

export function DatasetsTab(parts: Parts) {
  const { training, rest, go } = parts
  const w = useWords()
  const datasets = useStore(training.store, state => state.datasets)

  if (rest === IMPORT || rest.startsWith(`${IMPORT}/`)) {
    const name = rest.slice(IMPORT.length + 1)
    return (
      <DatasetImport
        {...parts}
        into={name === '' ? undefined : name}
        close={() => go('datasets', name)}
        done={made => go('datasets', made)}
      />
    )
  }
  if (rest !== '') {
    return <DatasetView key={rest} {...parts} name={rest} importMore={() => go('datasets', `${IMPORT}/${rest}`)} />
  }
  if (datasets === undefined) return <p className="hint">{w.loading}</p>
  return (
    <>
      <div className="toolbar">
        <button type="button" onClick={() => go('datasets', IMPORT)}>
          {w.importData}
        </button>
      </div>
      {datasets.length === 0 && <Empty title={w.datasetsNone} hint={w.datasetsNoneHint} />}
      <ul className="cards">
        {datasets.map(({ name, version, versions, counts, kinds, created }) => (
          <li key={name}>
            <button type="button" className="card" onClick={() => go('datasets', name)}>
              <span className="card-title">{name}</span>
              <span>
                {w.samples(count(counts.train + counts.validation + counts.test, w.locale))}
                {' · '}
                {Object.keys(kinds)
                  .map(kind => w.kinds[kind] ?? kind)
                  .join(', ')}
              </span>
              <span className="hint">
                {versions.length > 1 ? `${w.version(version)} · ` : ''}
                {moment(Date.parse(created), w.locale)}
              </span>
            </button>
          </li>
        ))}
      </ul>
    </>
  )
}
