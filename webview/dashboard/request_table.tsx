/** Requests in rows: when, what, how much, how fast, how it ended. What they said is not known here. */
import type { RequestOut } from '../../server/wire/requests.ts'
import { useFigures } from './figures.ts'
import { useDashboardText } from './texts.ts'

/** @param short fewer columns */
export function RequestTable({ requests, short, name }: { requests: RequestOut[]; short?: boolean; name: string }) {
  const d = useDashboardText()
  const figures = useFigures()
  const number = (value: number | undefined, text: (value: number) => string): string =>
    value === undefined ? '–' : text(value)
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached by keyboard
    <section className="scroll-x" tabIndex={0} aria-label={name}>
      <table className="data">
        <thead>
          <tr>
            <th scope="col">{d.column.time}</th>
            {short !== true && <th scope="col">{d.column.endpoint}</th>}
            <th scope="col">{d.column.model}</th>
            <th scope="col" className="number">
              {d.column.tokens}
            </th>
            <th scope="col" className="number">
              {d.column.firstToken}
            </th>
            <th scope="col" className="number">
              {d.column.speed}
            </th>
            {short !== true && (
              <th scope="col" className="number">
                {d.column.duration}
              </th>
            )}
            <th scope="col">{d.column.status}</th>
          </tr>
        </thead>
        <tbody>
          {requests.map(request => (
            <tr key={request.id}>
              <td className="figure">{figures.time(request.at_ms)}</td>
              {short !== true && <td>{endpointName(request.endpoint, d.editor)}</td>}
              <td className="name">{request.model ?? '–'}</td>
              <td className="number">
                {request.prompt_tokens === undefined
                  ? '–'
                  : `${figures.count(request.prompt_tokens)} → ${number(request.completion_tokens, figures.count)}`}
              </td>
              <td className="number">{number(request.first_token_ms, figures.duration)}</td>
              <td className="number">{number(request.tokens_per_second, figures.rate)}</td>
              {short !== true && <td className="number">{figures.duration(request.ms)}</td>}
              <td>
                <Ending request={request} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  )
}

/** `/v1/chat/completions` as `chat/completions`. */
export const endpointName = (endpoint: string, editor: string): string =>
  endpoint === 'editor' ? editor : endpoint.replace(/^\/(v1\/)?/, '')

function Ending({ request }: { request: RequestOut }) {
  const d = useDashboardText()
  const { cancelled, error, status } = request
  if (cancelled) return <span className="ending cancelled">{d.cancelled}</span>
  if (error === undefined) return <span className="ending good">{d.done}</span>
  return (
    <span className="ending bad">
      {status} {d.errors[error] ?? error}
    </span>
  )
}
