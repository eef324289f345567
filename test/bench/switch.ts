/** A model switch (unload A, load B, first token) against loading B alone, on one hub. */
import { complete, postJson } from './client.ts'
import { modelId, startHub, waitForModels } from './servers.ts'

export type SwitchTimes = { aloneMs: number[]; switchMs: number[] }

export async function measureSwitch(
  models: readonly [a: string, b: string],
  settings: { [name: string]: unknown },
  rounds: number,
): Promise<SwitchTimes> {
  const hub = await startHub({ models, settings })
  const [a, b] = models.map(modelId) as [string, string]
  const firstToken = (model: string): Promise<unknown> =>
    complete(hub.url, { model, prompt: 'Hello', maxTokens: 1, cachePrompt: false })
  const unload = async (model: string): Promise<void> => {
    const { status, text } = await postJson(`${hub.url}/v1/models/unload`, { model })
    if (status !== 200) throw new Error(`unloading ${model} failed: ${text}`)
  }
  const timed = async (work: () => Promise<unknown>): Promise<number> => {
    const start = performance.now()
    await work()
    return performance.now() - start
  }
  const times: SwitchTimes = { aloneMs: [], switchMs: [] }
  try {
    await waitForModels(hub)
    await waitForModels({ ...hub, model: b })
    // Round 0 reads both files into the page cache, so that neither way pays for the disk.
    for (let round = 0; round <= rounds; round++) {
      const alone = async (): Promise<void> => {
        const ms = await timed(() => firstToken(b))
        await unload(b)
        if (round > 0) times.aloneMs.push(ms)
      }
      const change = async (): Promise<void> => {
        await firstToken(a)
        const ms = await timed(async () => {
          await unload(a)
          await firstToken(b)
        })
        await unload(b)
        if (round > 0) times.switchMs.push(ms)
      }
      for (const step of round % 2 === 0 ? [alone, change] : [change, alone]) await step()
    }
    return times
  } finally {
    await hub.stop()
  }
}
