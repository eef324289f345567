/** One dataset: what it is made of, its versions, its quality, its samples. */
import { useEffect, useState } from 'react'
import type { DatasetManifest, DatasetOut } from '../../../server/wire/dataset.ts'
import type { QualityReport } from '../../../server/wire/quality.ts'
import { sizeText } from '../../texts.ts'
import { DatasetCompare } from './dataset_compare.tsx'
import { DatasetReport, Problems } from './dataset_report.tsx'
import { DatasetSamples } from './dataset_samples.tsx'
import { count, moment } from './figures.ts'
import type { Parts } from './parts.ts'
import { Choice, Confirm, Facts, Failure, Head, useAction } from './widgets.tsx'
import { useWords } from './words.ts'

const VIEWS = ['report', 'browse', 'compareVersions'] as const

export function DatasetView(props: Parts & { name: string; importMore(): void }) {
  const { bridge, training, name, importMore, go } = props
  const w = useWords()
  const [version, setVersion] = useState<number>()
  const [dataset, setDataset] = useState<DatasetOut>()
  const [report, setReport] = useState<QualityReport>()
  const [view, setView] = useState<(typeof VIEWS)[number]>('report')
  const [failure, setFailure] = useState<string>()
  const removal = useAction()
  const path = `/v1/training/datasets/${encodeURIComponent(name)}`

  useEffect(() => {
    const stopper = new AbortController()
    const { signal } = stopper
    const query = version === undefined ? '' : `version=${version}`
    const read = async (): Promise<void> => {
      const [read, quality] = await Promise.all([
        bridge.request<DatasetOut>('GET', `${path}?limit=1${query && `&${query}`}`, undefined, { signal }),
        bridge.request<QualityReport>('GET', `${path}/report${query && `?${query}`}`, undefined, { signal }),
      ])
      setDataset(read)
      setReport(quality)
      setFailure(undefined)
    }
    read().catch((thrown: Error) => {
      if (!signal.aborted) setFailure(thrown.message)
    })
    return () => stopper.abort()
  }, [bridge, path, version])

  const remove = () =>
    removal.run(async () => {
      await bridge.request('DELETE', path)
      await training.read('datasets')
      go('datasets')
    })

  return (
    <>
      <Head title={name} back={() => go('datasets')}>
        <div className="actions-row">
          <button type="button" onClick={() => go('training', `.new/${name}`)}>
            {w.trainOnIt}
          </button>
          <button type="button" className="secondary" onClick={importMore}>
            {w.importInto}
          </button>
          <Confirm
            label={w.deleteDataset}
            question={w.deleteDatasetSure(name)}
            disabled={removal.busy}
            act={() => void remove()}
          />
        </div>
      </Head>
      <Failure text={failure ?? removal.failure} />
      {dataset === undefined && failure === undefined && <p className="hint">{w.loading}</p>}
      {dataset !== undefined && (
        <>
          <div className="columns">
            <Facts
              facts={[
                ...(['train', 'validation', 'test'] as const).map(
                  part =>
                    [
                      w.parts[part],
                      <>
                        {w.samples(count(dataset.counts[part], w.locale))}{' '}
                        <span className="hint">{w.partsLong[part]}</span>
                      </>,
                    ] as [string, React.ReactNode],
                ),
                [w.created, moment(Date.parse(dataset.created), w.locale)],
              ]}
            />
            {dataset.versions.length > 1 && (
              <Choice
                label={w.openVersion}
                value={String(dataset.version)}
                options={dataset.versions.toReversed().map(each => [String(each), String(each)] as const)}
                set={value => setVersion(Number(value))}
              />
            )}
          </div>
          <Sources dataset={dataset} />
          <Problems problems={dataset.problems} />
          <nav className="views" aria-label={name}>
            {VIEWS.map(each => (
              <button
                key={each}
                type="button"
                className="view"
                aria-pressed={view === each}
                onClick={() => setView(each)}
              >
                {w[each]}
              </button>
            ))}
          </nav>
          {view === 'report' && report !== undefined && <DatasetReport report={report} />}
          {view === 'browse' && <DatasetSamples {...props} key={dataset.version} dataset={dataset} />}
          {view === 'compareVersions' && <DatasetCompare {...props} versions={dataset.versions} />}
        </>
      )}
    </>
  )
}

function Sources({ dataset }: { dataset: DatasetManifest }) {
  const w = useWords()
  return (
    <details className="more">
      <summary>
        {w.madeOf}: {dataset.sources.map(({ name }) => name).join(', ')}
      </summary>
      <ul>
        {dataset.sources.map(({ name, kind, samples, bytes, formats, skipped, licences, encoding }) => (
          <li key={`${kind}-${name}`}>
            {name}: {w.samples(count(samples, w.locale))}
            <span className="hint" lang="en">
              {' '}
              {[
                kind,
                ...(bytes > 0 ? [sizeText(bytes, w.locale)] : []),
                ...Object.keys(formats).map(format => format.replaceAll('_', ' ')),
                ...(encoding === undefined ? [] : [encoding]),
              ].join(' · ')}
            </span>
            {Object.entries(skipped ?? {}).map(([reason, files]) => (
              <p key={reason} className="hint">
                {w.skippedFiles(count(files, w.locale), reason)}
              </p>
            ))}
            {licences !== undefined && Object.keys(licences).length > 0 && (
              <p className="hint">
                {w.licences}:{' '}
                {Object.entries(licences)
                  .map(([licence, files]) => `${licence} (${files})`)
                  .join(', ')}
              </p>
            )}
          </li>
        ))}
      </ul>
    </details>
  )
}
