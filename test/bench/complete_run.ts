/** `npm run bench -- complete`: the figures of inline completion, beside those of another server's /infill when one is named. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { WebSocket } from 'ws'
import { LspClient } from '../helpers/lsp_client.ts'
import { type HubSeen, type Seen, summary, typeIntoHub, typeIntoInfill } from './complete.ts'
import { type HubOptions, type Server, startHub, waitForModels } from './servers.ts'
import { formatNumber, percentile } from './statistics.ts'

export type CompleteOptions = {
  model: string
  settings: HubOptions['settings']
  rounds: number
  /** A server that runs already, or how to start one. */
  peer: { url: string; model: string } | undefined
  startPeer: (() => Promise<Server>) | undefined
}
type Figures = { [name: string]: number }

/** Requests whose time is all the hub's own, since the worker behind it answers at once. */
const HUB_PART_REQUESTS = 40
/** Longer than the longest wait for another key, so that none is waited for. */
const QUIET_MS = 500

export async function benchComplete(options: CompleteOptions): Promise<{ figures: Figures; rows: string[][] }> {
  const hubs: HubSeen[] = []
  const peers: Seen[] = []
  for (let round = 0; round < options.rounds; round++) {
    hubs.push(await withHub({ models: [options.model], settings: options.settings }, typeIntoHub))
    // Never both at once: they would share the processors.
    const peer = options.peer ?? (await options.startPeer?.())
    if (peer === undefined) continue
    try {
      peers.push(await typeIntoInfill(peer))
    } finally {
      if ('stop' in peer) await (peer as Server).stop()
    }
  }
  const hubPart = await withHub(
    { models: [options.model], settings: options.settings, worker: join(import.meta.dirname, 'fake_worker.ts') },
    measureHubPart,
  )
  const all = <T extends Seen>(seen: readonly T[], take: (one: T) => number[]): number[] => seen.flatMap(take)
  const sum = <T extends Seen>(seen: readonly T[], take: (one: T) => number): number =>
    seen.reduce((total, one) => total + take(one), 0)
  const ours = summary(all(hubs, one => one.looks))
  const cached = all(hubs, one => one.cachedMs)
  const thrownAway = (seen: readonly Seen[]): number =>
    1 -
    sum(seen, one => one.seen) /
      Math.max(
        1,
        sum(seen, one => one.written),
      )
  const figures: Figures = {
    cached_p95_ms: cached.length === 0 ? Number.NaN : percentile(cached, 0.95),
    hub_part_p95_ms: percentile(hubPart, 0.95),
    reuse_share:
      sum(hubs, one => one.cached + one.reused) /
      Math.max(
        1,
        sum(hubs, one => one.asked),
      ),
    p50_ms: ours.p50,
    p95_ms: ours.p95,
    shown_share:
      sum(hubs, one => one.shown) /
      Math.max(
        1,
        sum(hubs, one => one.looks.length),
      ),
    thrown_away_share: thrownAway(hubs),
    written_per_key: sum(hubs, one => one.written) / sum(hubs, one => one.keys),
  }
  const rows = [
    ['measurement', 'hub', 'peer', 'hub/peer', 'bar'],
    ['cache or running, p95 ms', formatNumber(figures.cached_p95_ms!), '', '', '10'],
    ['the hub itself, p95 ms', formatNumber(figures.hub_part_p95_ms!), '', '', '5'],
    ['keys answered by cache or running', formatNumber(figures.reuse_share!), '', '', ''],
    ['generations per key', formatNumber(sum(hubs, one => one.generated) / sum(hubs, one => one.keys)), '', '', ''],
  ]
  if (peers.length > 0) {
    const theirs = summary(all(peers, one => one.looks))
    figures.p50_ratio = ours.p50 / theirs.p50
    figures.p95_ratio = ours.p95 / theirs.p95
    figures.peer_p50_ms = theirs.p50
    figures.peer_p95_ms = theirs.p95
    const share =
      sum(peers, one => one.shown) /
      Math.max(
        1,
        sum(peers, one => one.looks.length),
      )
    rows.push(
      ['last key to answer, p50 ms', ours.p50, theirs.p50, figures.p50_ratio, '0.6'].map(tell),
      ['last key to answer, p95 ms', ours.p95, theirs.p95, figures.p95_ratio, ''].map(tell),
      ['looks that found a suggestion', figures.shown_share!, share, figures.shown_share! / share, ''].map(tell),
      ...wasted(figures, thrownAway(peers), sum(peers, one => one.written) / sum(peers, one => one.keys)),
    )
  } else
    rows.push(...wasted(figures), [
      'last key to answer, p50 / p95 ms',
      `${formatNumber(ours.p50)} / ${formatNumber(ours.p95)}`,
      '',
      '',
      '',
    ])
  return { figures, rows }
}

/** What the model wrote for nothing: every character of it kept a processor busy. */
function wasted(figures: Figures, thrownAway?: number, perKey?: number): string[][] {
  const row = (name: string, ours: number, theirs: number | undefined): string[] =>
    theirs === undefined ? [name, formatNumber(ours), '', '', ''] : [name, ours, theirs, ours / theirs, ''].map(tell)
  return [
    row('characters written per key', figures.written_per_key!, perKey),
    row('of these never seen, share', figures.thrown_away_share!, thrownAway),
  ]
}

const tell = (value: string | number): string => (typeof value === 'string' ? value : formatNumber(value))

async function withHub<T>(
  options: HubOptions,
  use: (hub: Server & { home: string }, model: string) => Promise<T>,
): Promise<T> {
  const hub = await startHub(options)
  try {
    await waitForModels(hub)
    const loaded = await fetch(`${hub.url}/v1/models/load`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ model: hub.model }),
    })
    if (loaded.status !== 200) throw new Error(`the model did not load: ${await loaded.text()}`)
    return await use(hub, hub.model)
  } finally {
    await hub.stop()
  }
}

async function measureHubPart(hub: { url: string; home: string }, model: string): Promise<number[]> {
  const { token } = JSON.parse(readFileSync(join(hub.home, 'hub.json'), 'utf8')) as { token: string }
  const socket = new WebSocket(`${hub.url.replace('http', 'ws')}/lsp?token=${token}`)
  const client = new LspClient(text => socket.send(text))
  socket.on('message', data => client.take(data.toString()))
  await new Promise((done, failed) => socket.once('open', done).once('error', failed))
  try {
    await client.initialize({ settings: { completion: { model, ahead: false } } })
    const uri = 'file:///code/part.ts'
    client.open(uri, `${'const line = compute(1, 2)\n'.repeat(400)}`)
    const took: number[] = []
    for (let index = 0; index < HUB_PART_REQUESTS; index++) {
      const line = index * 7
      client.type(uri, index + 2, line, 0, `const value${index} = \n`)
      await sleep(QUIET_MS)
      const begun = performance.now()
      await client.complete(uri, line, `const value${index} = `.length).result
      took.push(performance.now() - begun)
    }
    // The first few find code that has not run yet.
    return took.slice(5)
  } finally {
    socket.close()
  }
}
