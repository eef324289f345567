/**
 * A program: sends chat requests at a fixed rate whether or not the earlier ones were answered, and prints the latencies as JSON.
 * A process of its own, so that its work does not stand in the way of the hub's. Arguments: URL, model, requests per second, seconds.
 */
import { Agent, request as httpRequest } from 'node:http'

const [url = '', model = '', rateText = '200', secondsText = '10'] = process.argv.slice(2)
const rate = Number(rateText)
const seconds = Number(secondsText)
const agent = new Agent({ keepAlive: true, maxSockets: 512 })
const bodies = [false, true].map(stream =>
  JSON.stringify({ model, messages: [{ role: 'user', content: 'Say a word.' }], max_tokens: 8, stream }),
)

export type OpenLoopResult = { latenciesMs: number[]; errors: number; firstError?: string }

/** Latency from `due`, not from the moment of sending: a driver that comes late does not hide what a client would have waited. */
function ask(due: number, body: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const request = httpRequest(
      `${url}/v1/chat/completions`,
      {
        method: 'POST',
        agent,
        headers: { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) },
      },
      response => {
        response.on('error', reject)
        response.on('end', () => {
          if (response.statusCode === 200) resolve(performance.now() - due)
          else reject(new Error(`status ${response.statusCode}`))
        })
        response.resume()
      },
    )
    request.on('error', reject)
    request.end(body)
  })
}

async function drive(count: number): Promise<OpenLoopResult> {
  const started = performance.now()
  const running: Promise<number>[] = []
  await new Promise<void>(done => {
    const tick = (): void => {
      const now = performance.now()
      while (running.length < count) {
        const due = started + (running.length * 1000) / rate
        if (due > now) break
        // Streamed and whole answers in turn.
        running.push(ask(due, bodies[running.length % 2] ?? ''))
      }
      if (running.length < count) setTimeout(tick, 1)
      else done()
    }
    tick()
  })
  const results = await Promise.allSettled(running)
  const failed = results.filter(result => result.status === 'rejected')
  const first = failed[0]
  return {
    latenciesMs: results.filter(result => result.status === 'fulfilled').map(result => result.value),
    errors: failed.length,
    ...(first !== undefined && { firstError: String(first.reason) }),
  }
}

// A second of warming up opens the connections and compiles the code on both sides; it is not counted.
await drive(rate)
console.log(JSON.stringify(await drive(Math.round(rate * seconds))))
agent.destroy()
