/** What a version of a dataset has that another has not. */
import { useState } from 'react'
import type { DatasetComparison } from '../../../server/wire/dataset.ts'
import { count } from './figures.ts'
import type { Parts } from './parts.ts'
import { Choice, Failure, Scroll, useAction } from './widgets.tsx'
import { useWords } from './words.ts'

export function DatasetCompare({ bridge, name, versions }: Parts & { name: string; versions: number[] }) {
  const w = useWords()
  const [from, setFrom] = useState(versions.at(-2) ?? 0)
  const [to, setTo] = useState(versions.at(-1) ?? 0)
  const [shown, setShown] = useState<DatasetComparison>()
  const action = useAction()
  if (versions.length < 2) return <p className="hint">{w.compareOne}</p>
  const options = versions.map(version => [String(version), String(version)] as const)
  const compare = () =>
    action.run(async signal => {
      const path = `/v1/training/datasets/${encodeURIComponent(name)}/compare?from=${from}&to=${to}`
      setShown(await bridge.request<DatasetComparison>('GET', path, undefined, { signal }))
    })
  return (
    <section>
      <div className="filters">
        <Choice label={w.compareFrom} value={String(from)} options={options} set={value => setFrom(Number(value))} />
        <Choice label={w.compareTo} value={String(to)} options={options} set={value => setTo(Number(value))} />
        <button type="button" disabled={action.busy || from === to} onClick={() => void compare()}>
          {w.compareShow}
        </button>
      </div>
      <Failure text={action.failure} />
      {shown !== undefined && (
        <Scroll name={w.compareVersions}>
          <table>
            <caption>{`${w.compareFrom} ${shown.from} ${w.compareTo} ${shown.to}`}</caption>
            <thead>
              <tr>
                <th scope="col">{w.part}</th>
                <th scope="col">{w.added}</th>
                <th scope="col">{w.keptSamples}</th>
              </tr>
            </thead>
            <tbody>
              {(['train', 'validation', 'test'] as const).map(part => (
                <tr key={part}>
                  <th scope="row">{w.parts[part]}</th>
                  <td className="number">{count(shown.added[part], w.locale)}</td>
                  <td className="number">{count(shown.kept[part], w.locale)}</td>
                </tr>
              ))}
            </tbody>
          </table>
          <p>
            {w.removedSamples}: {w.samples(count(shown.removed, w.locale))}
          </p>
        </Scroll>
      )}
    </section>
  )
}
