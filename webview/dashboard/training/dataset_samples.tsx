/** Looks through the samples of a dataset, and shows how a model would read each. */
import { type ReactNode, useEffect, useState } from 'react'
import type { DatasetOut, DatasetPreview } from '../../../server/wire/dataset.ts'
import type { Sample, SampleMessage } from '../../../server/wire/sample.ts'
import type { SampleSegment } from '../../../server/wire/training_plan.ts'
import { toHubFailure } from '../../failure.ts'
import { chatModels } from '../../hub_state.ts'
import { useStore } from '../../store.ts'
import { count } from './figures.ts'
import type { Parts } from './parts.ts'
import { Choice, Failure, TextInput, useAction, useSettled } from './widgets.tsx'
import { useWords } from './words.ts'

const PAGE = 10
const TYPING_MS = 300
const PARTS = ['train', 'validation', 'test'] as const
type Part = (typeof PARTS)[number]
type Page = { samples: Sample[]; offset: number; has_more: boolean }

export function DatasetSamples({ bridge, hub, dataset }: Parts & { dataset: DatasetOut }) {
  const w = useWords()
  const { name, version, counts, kinds } = dataset
  const [part, setPart] = useState<Part>(PARTS.find(each => counts[each] > 0) ?? 'train')
  const [kind, setKind] = useState('')
  const [search, setSearch] = useState('')
  const [offset, setOffset] = useState(0)
  const [page, setPage] = useState<Page>()
  const [failure, setFailure] = useState<string>()
  const models = chatModels(useStore(hub, state => state.models)).filter(({ parent }) => parent === undefined)
  const [model, setModel] = useState('')
  const wanted = useSettled(search.trim(), TYPING_MS)
  const isFiltered = kind !== '' || wanted !== ''

  useEffect(() => {
    const stopper = new AbortController()
    const query = new URLSearchParams({
      version: String(version),
      part,
      offset: String(offset),
      limit: String(PAGE),
      ...(kind !== '' && { kind }),
      ...(wanted !== '' && { search: wanted }),
    })
    bridge
      .request<Page>('GET', `/v1/training/datasets/${encodeURIComponent(name)}?${query}`, undefined, {
        signal: stopper.signal,
      })
      .then(read => {
        setPage(read)
        setFailure(undefined)
      })
      .catch((thrown: unknown) => {
        if (!stopper.signal.aborted) setFailure(toHubFailure(thrown).message)
      })
    return () => stopper.abort()
  }, [bridge, name, version, part, kind, wanted, offset])

  const anew = (change: () => void) => {
    change()
    setOffset(0)
  }

  return (
    <section>
      <div className="filters">
        <Choice
          label={w.part}
          value={part}
          options={PARTS.map(each => [each, `${w.parts[each]} (${count(counts[each], w.locale)})`] as const)}
          set={value => anew(() => setPart(PARTS.find(each => each === value) ?? 'train'))}
        />
        <Choice
          label={w.kind}
          value={kind}
          options={[['', w.allKinds], ...Object.keys(kinds).map(each => [each, w.kinds[each] ?? each] as const)]}
          set={value => anew(() => setKind(value))}
        />
        <TextInput label={w.searchSamples} type="search" value={search} set={value => anew(() => setSearch(value))} />
        <Choice
          label={w.preview}
          value={model}
          options={[['', w.none], ...models.map(({ id }) => [id, id] as const)]}
          set={setModel}
        />
      </div>
      {model !== '' && <p className="hint">{isFiltered ? w.previewOff : w.previewHint}</p>}
      <Failure text={failure} />
      <div role="status" className="hidden">
        {page !== undefined && w.samplesFrom(String(page.offset + 1), String(page.offset + page.samples.length))}
      </div>
      {page !== undefined && page.samples.length === 0 && (
        <p className="hint">{isFiltered ? w.noSamplesFound : w.noSamples}</p>
      )}
      <ol className="samples">
        {page?.samples.map((sample, index) => {
          const place = page.offset + index
          return (
            <li key={`${part}-${place}`}>
              <SampleItem sample={sample} number={count(place + 1, w.locale)}>
                {model !== '' && !isFiltered && (
                  <Preview
                    key={`${model}-${part}-${place}`}
                    bridge={bridge}
                    query={new URLSearchParams({ model, part, offset: String(place), version: String(version) })}
                    name={name}
                  />
                )}
              </SampleItem>
            </li>
          )
        })}
      </ol>
      {page !== undefined && (page.offset > 0 || page.has_more) && (
        <div className="actions-row">
          <button
            type="button"
            className="secondary"
            disabled={page.offset === 0}
            onClick={() => setOffset(Math.max(0, page.offset - PAGE))}
          >
            {w.earlier}
          </button>
          <span>
            {w.samplesFrom(
              count(page.offset + 1, w.locale),
              count(page.offset + Math.max(1, page.samples.length), w.locale),
            )}
          </span>
          <button
            type="button"
            className="secondary"
            disabled={!page.has_more}
            onClick={() => setOffset(page.offset + PAGE)}
          >
            {w.later}
          </button>
        </div>
      )}
    </section>
  )
}

function SampleItem({ sample, number, children }: { sample: Sample; number: string; children: ReactNode }) {
  const w = useWords()
  const { kind, origin } = sample
  return (
    <article aria-label={w.sampleNumber(number)}>
      <div className="sample-head">
        <strong>{w.sampleNumber(number)}</strong>
        <span className="badge">{w.kinds[kind] ?? kind}</span>
        {origin !== undefined && (
          <span className="hint">
            {w.from} {origin.source}
            {origin.line !== undefined && `, ${w.line(origin.line)}`}
          </span>
        )}
      </div>
      <SampleText sample={sample} />
      {children}
    </article>
  )
}

function SampleText({ sample }: { sample: Sample }) {
  const w = useWords()
  switch (sample.kind) {
    case 'chat':
      return <Messages messages={sample.messages} />
    case 'preference':
      return (
        <>
          <Messages messages={sample.messages} />
          <Piece name={w.chosen} text={sample.chosen} />
          <Piece name={w.rejected} text={sample.rejected} />
        </>
      )
    case 'completion':
      return (
        <>
          <Piece name={w.prompt} text={sample.prompt} />
          <Piece name={w.completion} text={sample.completion} />
        </>
      )
    case 'text':
      return <Piece name={w.text} text={sample.text} />
    case 'infill':
      return (
        <>
          {sample.path !== undefined && <p className="hint">{sample.path}</p>}
          <Piece name={w.before} text={sample.prefix} />
          <Piece name={w.gap} text={sample.middle} />
          <Piece name={w.behind} text={sample.suffix} />
        </>
      )
  }
}

function Messages({ messages }: { messages: SampleMessage[] }) {
  const w = useWords()
  return messages.map((message, index) => (
    // biome-ignore lint/suspicious/noArrayIndexKey: a message is known by its place only
    <div key={index}>
      <Piece
        name={`${w.roles[message.role] ?? message.role}${message.weight === 0 ? ` (${w.onlyRead})` : ''}`}
        text={message.content ?? ''}
      />
      {message.tool_calls?.map(call => (
        <Piece key={`${call.name}-${call.arguments}`} name={w.calls} text={`${call.name} ${call.arguments}`} />
      ))}
    </div>
  ))
}

function Piece({ name, text }: { name: string; text: string }) {
  if (text === '') return null
  return (
    <div className="piece">
      <span className="piece-name">{name}</span>
      <pre className="excerpt">{text}</pre>
    </div>
  )
}

/** Shown when it is asked for: the model may have to be loaded first. */
function Preview({ bridge, name, query }: Pick<Parts, 'bridge'> & { name: string; query: URLSearchParams }) {
  const w = useWords()
  const action = useAction()
  const [shown, setShown] = useState<DatasetPreview['preview']>()
  const show = () =>
    action.run(async signal => {
      const path = `/v1/training/datasets/${encodeURIComponent(name)}/preview?${query}`
      setShown((await bridge.request<DatasetPreview>('GET', path, undefined, { signal })).preview)
    })
  if (shown === undefined) {
    return (
      <>
        <button type="button" className="secondary" disabled={action.busy} onClick={() => void show()}>
          {action.busy ? w.working : `${w.preview}: ${w.previewShow}`}
        </button>
        <Failure text={action.failure} />
      </>
    )
  }
  return (
    <div className="preview">
      <p className="hint">{w.previewTokens(count(shown.tokens, w.locale), count(shown.targetTokens, w.locale))}</p>
      <Segments segments={shown.segments} />
      {shown.more?.map((segments, index) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: a sequence is known by its place only
        <div key={index}>
          <span className="piece-name">{w.ownSequence}</span>
          <Segments segments={segments} />
        </div>
      ))}
      {shown.rejected !== undefined && (
        <>
          <span className="piece-name">{w.rejected}</span>
          <Segments segments={shown.rejected} />
        </>
      )}
    </div>
  )
}

export function Segments({ segments }: { segments: SampleSegment[] }) {
  const w = useWords()
  return (
    <pre className="excerpt segments">
      {segments.map((segment, index) =>
        segment.learned ? (
          // biome-ignore lint/suspicious/noArrayIndexKey: a piece is known by its place only
          <mark key={index}>
            <span className="hidden">{`[${w.learned}] `}</span>
            {segment.text}
            <span className="hidden">{` [${w.onlyRead}] `}</span>
          </mark>
        ) : (
          // biome-ignore lint/suspicious/noArrayIndexKey: a piece is known by its place only
          <span key={index}>{segment.text}</span>
        ),
      )}
    </pre>
  )
}
