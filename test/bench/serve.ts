/** Our hub and another OpenAI-compatible server, the same requests in alternation. */
import { complete, type Timing, words } from './client.ts'
import type { Server } from './servers.ts'

/** One figure of a round; `rate`: tokens/s, more is better; `ms`: less is better. */
export type Measurement = {
  name: string
  unit: 'tokens/s' | 'ms'
  run(server: Server, seed: number): Promise<number[]>
}

const LONG = 400

/** The prompts of a measurement differ from round to round but are the same for every server of the round. */
export const MEASUREMENTS: readonly Measurement[] = [
  { name: '1 stream', unit: 'tokens/s', run: (server, seed) => streams(server, seed, 1, 64) },
  { name: '4 streams', unit: 'tokens/s', run: (server, seed) => streams(server, seed, 4, 48) },
  { name: '8 streams', unit: 'tokens/s', run: (server, seed) => streams(server, seed, 8, 32) },
  {
    name: 'first token, cold prefix',
    unit: 'ms',
    run: async (server, seed) => [(await ask(server, words(seed, LONG), 2)).firstTokenMs],
  },
  { name: 'first token, shared prefix', unit: 'ms', run: sharedPrefix },
]

export type Results = Map<string, { hub: number[]; peer: number[] }>

/** Runs every measurement `rounds` times on every server; the server that begins changes from one measurement to the next. */
export async function runRounds(
  servers: readonly Server[],
  rounds: number,
  report: (line: string) => void,
): Promise<Results> {
  const results: Results = new Map(MEASUREMENTS.map(({ name }) => [name, { hub: [], peer: [] }]))
  // Round 0 warms up: pages of the model are read, code is compiled.
  for (let round = 0; round <= rounds; round++) {
    for (const [index, { name, unit, run }] of MEASUREMENTS.entries()) {
      const order = (round + index) % 2 === 0 ? servers : [...servers].reverse()
      const seed = 1000 * round + 100 * index
      for (const server of order) {
        const values = await run(server, seed)
        if (round > 0) results.get(name)?.[server.name].push(...values)
        if (round > 0)
          report(`round ${round} ${name} ${server.name}: ${values.map(v => v.toFixed(1)).join(', ')} ${unit}`)
      }
    }
  }
  return results
}

async function ask(server: Server, prompt: string, maxTokens: number): Promise<Timing> {
  return complete(server.url, { model: server.model, prompt, maxTokens })
}

/** Tokens per second of all streams together, from the first request sent to the last answer ended. */
async function streams(server: Server, seed: number, count: number, maxTokens: number): Promise<number[]> {
  const timings = await Promise.all(
    Array.from({ length: count }, (_, stream) => ask(server, words(seed + stream, 12), maxTokens)),
  )
  const tokens = timings.reduce((sum, timing) => sum + timing.completionTokens, 0)
  const start = Math.min(...timings.map(timing => timing.startedAt))
  const end = Math.max(...timings.map(timing => timing.endedAt))
  return [(tokens / (end - start)) * 1000]
}

/** A long prefix is evaluated once; then three prompts continue it in different ways. */
async function sharedPrefix(server: Server, seed: number): Promise<number[]> {
  const prefix = words(seed, LONG)
  await ask(server, `${prefix} ${words(seed + 1, 8)}`, 2)
  const times: number[] = []
  for (let index = 0; index < 3; index++) {
    times.push((await ask(server, `${prefix} ${words(seed + 2 + index, 8)}`, 2)).firstTokenMs)
  }
  return times
}
