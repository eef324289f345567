/** The downloads of a running hub: the model hub they come from by the environment, and this machine's disk, clock and chance. */
import { randomUUID } from 'node:crypto'
import { statfs } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { createRemote } from './models/pull_remote.ts'
import { createPulls, type Pulls, type PullsDeps } from './models/pulls.ts'

/** A connection that is silent for so long is given up and made anew. */
const SILENCE_MS = 60_000

/** @throws HubError invalid_request when HF_ENDPOINT is no address */
export function openPulls(
  deps: Pick<PullsDeps, 'registry' | 'space' | 'changed' | 'log'> & { home: string; env: NodeJS.ProcessEnv },
): Pulls {
  const { home, env, ...rest } = deps
  return createPulls({
    ...rest,
    root: join(home, 'local_models'),
    remote: createRemote({ endpoint: env.HF_ENDPOINT, token: env.HF_TOKEN }),
    async freeDisk(folder) {
      // A folder that was deleted is made again once something is put into it.
      const disk = await statfs(folder).catch(() => statfs(home))
      return disk.bavail * disk.bsize
    },
    wait: (ms, signal) => wait(ms, undefined, { signal }),
    silenceMs: SILENCE_MS,
    now: Date.now,
    newId: () => `pull_${randomUUID().replaceAll('-', '')}`,
  })
}
