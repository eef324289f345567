/** What a page does with its frames while something runs: by the browser's own tracing, and by the page's animation frames. */
import type { CDPSession, Page } from 'playwright-core'

export type Frames = {
  /** Frames that the page was given, and seconds in which. */
  frames: number
  seconds: number
  /** Of those that a screen of 60 per second would have shown, the ones that did not come. */
  dropped: number
  longestMs: number
  /** By the trace: frames that the compositor dropped, and the main thread's share of a processor. */
  traceDropped: number
  busyShare: number
  /** Of the thread's own time, so that other programs do not count. */
  longestTaskMs: number
}

type TraceEvent = {
  name: string
  cat: string
  ph: string
  ts: number
  dur?: number
  tdur?: number
  pid: number
  tid: number
  args?: { name?: string }
}

const FRAME_MS = 1000 / 60
const CATEGORIES = ['toplevel', 'disabled-by-default-devtools.timeline', 'disabled-by-default-devtools.timeline.frame']

export async function traceFrames(page: Page, work: () => Promise<void>): Promise<Frames> {
  const session = await page.context().newCDPSession(page)
  const events: TraceEvent[] = []
  session.on('Tracing.dataCollected', ({ value }) => void events.push(...(value as unknown as TraceEvent[])))
  await session.send('Tracing.start', { transferMode: 'ReportEvents', traceConfig: { includedCategories: CATEGORIES } })
  await page.evaluate(`{
    window.frameTimes = []
    const frame = time => { window.frameTimes?.push(time); if (window.frameTimes) requestAnimationFrame(frame) }
    requestAnimationFrame(frame)
  }`)
  await work()
  const times = (await page.evaluate('{ const times = frameTimes; frameTimes = undefined; times }')) as number[]
  const complete = new Promise<void>(resolve => void session.once('Tracing.tracingComplete', () => resolve()))
  await session.send('Tracing.end')
  await complete
  await session.detach()

  const gaps = times.slice(1).map((time, index) => time - times[index]!)
  const main = mainThread(events)
  const tasks = events.filter(event => event.pid === main.pid && event.tid === main.tid && isTask(event))
  const first = times[0] ?? 0
  const seconds = ((times.at(-1) ?? first) - first) / 1000
  return {
    frames: gaps.length,
    seconds,
    dropped: gaps.reduce((sum, gap) => sum + Math.max(0, Math.round(gap / FRAME_MS) - 1), 0),
    longestMs: Math.max(0, ...gaps),
    traceDropped: events.filter(({ name, pid }) => name === 'DroppedFrame' && pid === main.pid).length,
    busyShare: tasks.reduce((sum, { tdur = 0 }) => sum + tdur, 0) / 1e6 / seconds,
    longestTaskMs: tasks.reduce((longest, { tdur = 0 }) => Math.max(longest, tdur), 0) / 1000,
  }
}

const isTask = ({ name, ph }: TraceEvent): boolean => ph === 'X' && name === 'RunTask'

/** The busiest of the renderers' main threads: the page's. */
function mainThread(events: TraceEvent[]): { pid: number; tid: number } {
  const names = events.filter(({ name, args }) => name === 'thread_name' && args?.name === 'CrRendererMain')
  const work = ({ pid, tid }: TraceEvent): number =>
    events.filter(event => event.pid === pid && event.tid === tid && isTask(event)).length
  const found = names.map(event => ({ event, tasks: work(event) })).sort((a, b) => b.tasks - a.tasks)[0]
  if (found === undefined) throw new Error('the trace names no main thread of a page')
  return found.event
}

export type Memory = { heapBytes: number; nodes: number; listeners: number }

/** Of a page after its garbage was collected. */
export async function readMemory(session: CDPSession): Promise<Memory> {
  await session.send('Performance.enable')
  // What the first collection sets free may hold more.
  for (let turn = 0; turn < 3; turn++) await session.send('HeapProfiler.collectGarbage')
  const { metrics } = await session.send('Performance.getMetrics')
  const read = (name: string): number => metrics.find(metric => metric.name === name)?.value ?? Number.NaN
  return { heapBytes: read('JSHeapUsedSize'), nodes: read('Nodes'), listeners: read('JSEventListeners') }
}
