/** The hub itself: version, address, home, devices, and everything that it needs, looked at as doctor does. */
import { useCallback, useEffect, useState } from 'react'
import type { CheckOut } from '../../server/wire/system.ts'
import { toHubFailure } from '../failure.ts'
import { IconButton } from '../icons.tsx'
import { PageLink } from '../page_link.tsx'
import { useStore } from '../store.ts'
import { useText } from '../texts.ts'
import { Card } from './card.tsx'
import { useFigures } from './figures.ts'
import type { Parts } from './parts.ts'
import { useDashboardText } from './texts.ts'

export function SystemTab({ bridge, hub }: Parts) {
  const d = useDashboardText()
  const t = useText()
  const figures = useFigures()
  const system = useStore(hub, state => state.system)
  const load = useStore(hub, state => state.load)
  if (system === undefined) return <p className="hint waiting">{d.reading}</p>
  const memory = load?.memory ?? system.memory
  const base = `${system.url}/v1`
  const rows: [string, string][] = [
    [d.system.version, system.version],
    [d.system.uptime, figures.uptime(((load?.at_ms ?? Date.now()) - system.started_at) / 1000)],
    [d.system.platform, `${system.platform} · Node ${system.node.replace(/^v/, '')}`],
    [d.system.process, `${system.pid} · ${figures.size(memory.hub_rss_bytes)}`],
    [d.system.cpu, `${system.cpu.name} · ${d.cores(system.cpu.physical_cores, system.cpu.logical_cores)}`],
    [d.system.memory, d.freeOf(figures.size(memory.available_bytes), figures.size(memory.total_bytes))],
  ]
  return (
    <>
      <Card title={d.connect}>
        <p className="hint">{d.connectHint}</p>
        <Copied label={d.baseUrl} text={base} copy={bridge.copy} />
        <Copied label={d.system.home} text={system.home} copy={bridge.copy} />
        <p>
          <PageLink bridge={bridge} to="docs">
            {d.docs}
          </PageLink>
        </p>
      </Card>
      <Card title={d.thisHub}>
        <dl className="facts">
          {rows.map(([name, value]) => (
            <div key={name}>
              <dt>{name}</dt>
              <dd>{value}</dd>
            </div>
          ))}
        </dl>
      </Card>
      <Card title={d.devices}>
        <ul className="plain-list">
          {system.devices.map(({ kind, name, total_bytes, free_bytes }, index) => {
            // An event knows better what is free now.
            const now = load?.devices.find(device => kind !== 'cpu' && device.name === name)
            const free = kind === 'cpu' ? memory.available_bytes : (now?.free_bytes ?? free_bytes)
            return (
              <li key={`${kind} ${name}`} className="line">
                <span className="line-name">{name}</span>
                <span className="tag">{kind}</span>
                {index === 0 && <span className="tag">{t.inUse}</span>}
                <span className="grow" />
                {free !== undefined && total_bytes !== undefined && (
                  <span className="figure">{d.freeOf(figures.size(free), figures.size(total_bytes))}</span>
                )}
              </li>
            )
          })}
        </ul>
      </Card>
      <Checks bridge={bridge} />
    </>
  )
}

function Copied({ label, text, copy }: { label: string; text: string; copy(text: string): Promise<void> }) {
  const t = useText()
  const [done, setDone] = useState(false)
  return (
    <div className="copied">
      <span>{label}</span>
      <code>{text}</code>
      <IconButton
        icon="copy"
        label={`${t.copy}: ${label}`}
        onClick={() =>
          void copy(text).then(
            () => setDone(true),
            () => setDone(false),
          )
        }
      />
      <span className="hint" role="status">
        {done && t.copied}
      </span>
    </div>
  )
}

function Checks({ bridge }: Pick<Parts, 'bridge'>) {
  const d = useDashboardText()
  const t = useText()
  const [checks, setChecks] = useState<CheckOut[]>()
  const [failure, setFailure] = useState<string>()
  const [isLooking, setIsLooking] = useState(false)
  const look = useCallback(async (): Promise<void> => {
    setIsLooking(true)
    setFailure(undefined)
    try {
      const { data } = await bridge.request<{ data: CheckOut[] }>('GET', '/v1/system/checks')
      setChecks(data)
    } catch (thrown) {
      setFailure(toHubFailure(thrown).message)
    }
    setIsLooking(false)
  }, [bridge])
  useEffect(() => void look(), [look])
  return (
    <Card
      title={d.checks}
      more={
        <button type="button" className="secondary" disabled={isLooking} onClick={() => void look()}>
          {d.lookAgain}
        </button>
      }
    >
      <p className="hint">{d.checksHint}</p>
      <div role="status">{isLooking && <p className="hint waiting">{d.looking}</p>}</div>
      {failure !== undefined && (
        <p className="problem" role="alert">
          {t.failedTo}
          {failure}
        </p>
      )}
      <ul className="plain-list checks">
        {checks?.map(({ name, state, found, fix }) => (
          <li key={`${name} ${found}`} className={state}>
            <span className="check-state">
              <span className="mark" aria-hidden="true" />
              {d.checkStates[state]}
            </span>
            <strong>{name}</strong>
            <div>
              {found}
              {fix !== undefined && <div className="fix">{fix}</div>}
            </div>
          </li>
        ))}
      </ul>
    </Card>
  )
}
