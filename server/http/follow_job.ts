/** Follows a job for a stream: its whole log so far, then what comes, until it has ended or the reader is gone. */
import { toEventOut, toJobOut } from '../training/job_state.ts'
import type { Jobs } from '../training/jobs.ts'
import type { TrainingEvent } from '../wire/events.ts'
import type { JobProgress, TrainingEventOut, TrainingJobOut } from '../wire/training.ts'

/** Each may ask to be waited for. */
export type Follower = {
  job?(job: TrainingJobOut): Promise<void> | undefined
  progress?(progress: JobProgress): Promise<void> | undefined
  message?(event: TrainingEventOut): Promise<void> | undefined
}

const ENDED: readonly string[] = ['succeeded', 'failed', 'cancelled', 'paused']
const PAGE = 1000

/** @throws HubError not_found */
export async function followJob(jobs: Jobs, id: string, signal: AbortSignal, follower: Follower): Promise<void> {
  const waiting: TrainingEvent[] = []
  let wake = Promise.withResolvers<void>()
  const unlisten = jobs.listen(event => {
    if ((event.type === 'training.job' ? event.job.id : event.id) !== id) return
    // A slow reader gets the newest figures, not all of them.
    if (event.type === 'training.progress' && waiting.at(-1)?.type === 'training.progress') waiting.pop()
    waiting.push(event)
    wake.resolve()
  })
  const abort = () => wake.resolve()
  signal.addEventListener('abort', abort, { once: true })
  try {
    // Listening began before the log is read: what is in both is told once, by its number.
    let told = 0
    for (;;) {
      const { events, hasMore } = jobs.events(id, { after: told, limit: PAGE, order: 'asc' })
      for (const event of events) {
        told = event.number
        await follower.message?.(toEventOut(event))
      }
      if (!hasMore) break
    }
    let status = jobs.get(id).status as string
    await follower.job?.(toJobOut(jobs.get(id)))
    while (!signal.aborted) {
      for (let event = waiting.shift(); event !== undefined; event = waiting.shift()) {
        if (event.type === 'training.job') {
          status = event.job.status
          await follower.job?.(event.job)
        } else if (event.type === 'training.progress') await follower.progress?.(event.progress)
        else if (numberOf(event.event.id) > told) {
          told = numberOf(event.event.id)
          await follower.message?.(event.event)
        }
      }
      if (ENDED.includes(status)) return
      await wake.promise
      wake = Promise.withResolvers()
    }
  } finally {
    unlisten()
    signal.removeEventListener('abort', abort)
  }
}

const numberOf = (id: string): number => Number(id.slice(id.lastIndexOf('-') + 1))
