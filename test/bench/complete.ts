/**
 * What a person at the keyboard sees of inline completion: the time from the last key to the suggestion, through this hub's language
 * server, and through the /infill of another server by a client that works as llama.vscode does. Both type the same trace.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { WebSocket } from 'ws'
import { LspClient } from '../helpers/lsp_client.ts'
import { LOOK_UP_MS, type Trace, traces } from './keystrokes.ts'
import { percentile } from './statistics.ts'

/** What a client saw of a trace. */
export type Seen = {
  /** From a key after which the user looked up to its answer, ms; an answer that came after the next key counts as that pause. */
  looks: number[]
  /** Of those, how many brought a suggestion. */
  shown: number
  keys: number
  /** Characters that the model wrote, and of those the ones in suggestions that were seen; one that is typed into counts once. */
  written: number
  seen: number
}
export type HubSeen = Seen & { cachedMs: number[]; asked: number; cached: number; reused: number; generated: number }

const SEED = 11

/** @param home of the hub, for the token in its hub.json */
export async function typeIntoHub(hub: { url: string; home: string }, model: string): Promise<HubSeen> {
  const { token } = JSON.parse(readFileSync(join(hub.home, 'hub.json'), 'utf8')) as { token: string }
  const socket = new WebSocket(`${hub.url.replace('http', 'ws')}/lsp?token=${token}`)
  const client = new LspClient(text => socket.send(text))
  socket.on('message', data => client.take(data.toString()))
  await new Promise((done, failed) => socket.once('open', done).once('error', failed))
  const seen: HubSeen = {
    looks: [],
    shown: 0,
    keys: 0,
    written: 0,
    seen: 0,
    cachedMs: [],
    asked: 0,
    cached: 0,
    reused: 0,
    generated: 0,
  }
  try {
    await client.initialize({ settings: { completion: { model } } })
    for (const trace of traces(SEED)) await typeTrace(client, trace, seen)
    Object.assign(seen, await client.request('aiHub/counts', null))
  } finally {
    socket.close()
  }
  return seen
}

type Counts = { cached: number }

async function typeTrace(client: LspClient, trace: Trace, seen: HubSeen): Promise<void> {
  const uri = `file:///code/${trace.path}`
  client.open(uri, trace.text, trace.language)
  let text = trace.text
  let open: { cancel(): void } | undefined
  let version = 1
  const look = lookAt(seen)
  for (const { character, offset, pauseMs } of trace.keys) {
    const { line, column } = positionOf(text, offset)
    text = text.slice(0, offset) + character + text.slice(offset)
    client.type(uri, ++version, line, column, character)
    if (pauseMs === 0) continue
    open?.cancel()
    seen.keys++
    const before = (await client.request('aiHub/counts', null)) as Counts
    const begun = performance.now()
    const next = positionOf(text, offset + 1)
    const request = client.complete(uri, next.line, next.column)
    open = request
    const answer = answered(request.result as Promise<{ insertText: string }[] | null>).then(async items => {
      const tookMs = performance.now() - begun
      const after = (await client.request('aiHub/counts', null)) as Counts
      if (items.length > 0 && after.cached > before.cached) seen.cachedMs.push(tookMs)
      return { tookMs, shown: items[0]?.insertText }
    })
    await sleep(pauseMs)
    if (pauseMs >= LOOK_UP_MS) look(await Promise.race([answer, sleep(0, undefined)]), pauseMs)
  }
  open?.cancel()
  client.notify('textDocument/didClose', { textDocument: { uri } })
}

/** What the user finds when looking up; an answer that is not there yet counts as the whole pause. */
function lookAt(
  seen: Seen,
): (answer: { tookMs: number; shown?: string | undefined } | undefined, pauseMs: number) => void {
  let last = ''
  return (answer, pauseMs) => {
    seen.looks.push(answer?.tookMs ?? pauseMs)
    const shown = answer?.shown
    if (shown === undefined) return
    seen.shown++
    if (!last.endsWith(shown)) seen.seen += shown.length
    last = shown
  }
}

/** A cancelled request gives nothing. */
const answered = <T>(result: Promise<T[] | null>): Promise<T[]> =>
  result.then(
    items => items ?? [],
    () => [],
  )

function positionOf(text: string, offset: number): { line: number; column: number } {
  const before = text.slice(0, offset)
  const line = before.split('\n').length - 1
  return { line, column: offset - (before.lastIndexOf('\n') + 1) }
}

/**
 * A client as llama.vscode is: 256 lines before and 64 behind, the cursor's line as the prompt, one request at a time that others
 * wait for in steps of 150 ms, a cache that walks back over what was typed, and the next suggestion asked for ahead.
 */
export async function typeIntoInfill(server: { url: string; model: string }): Promise<Seen> {
  const seen: Seen = { looks: [], shown: 0, keys: 0, written: 0, seen: 0 }
  const cache = new Map<string, string>()
  let inFlight = false
  async function infill(text: string, offset: number): Promise<string | undefined> {
    const { prefix, prompt, suffix } = windows(text, offset)
    const key = prefix + prompt
    for (let typed = 0; typed <= Math.min(128, key.length); typed++) {
      const held = cache.get(`${key.slice(0, key.length - typed)}\0${suffix}`)
      if (held?.startsWith(key.slice(key.length - typed)) && held.length > typed) return held.slice(typed)
    }
    inFlight = true
    try {
      const response = await fetch(`${server.url}/infill`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({
          model: server.model,
          input_prefix: prefix,
          input_suffix: suffix,
          input_extra: [],
          prompt,
          n_predict: 128,
          top_k: 40,
          top_p: 0.9,
          stream: false,
          samplers: ['top_k', 'top_p', 'infill'],
          cache_prompt: true,
          t_max_prompt_ms: 500,
          t_max_predict_ms: 500,
          ...(/^[ \t]+/.test(prompt) && { n_indent: /^[ \t]*/.exec(prompt)![0].length }),
        }),
      })
      const answer = (await response.json()) as { content?: string }
      if (typeof answer.content !== 'string') throw new Error(`the server answered ${JSON.stringify(answer)}`)
      seen.written += answer.content.length
      cache.set(`${key}\0${suffix}`, answer.content)
      if (cache.size > 250) cache.delete(cache.keys().next().value!)
      return answer.content.trim() === '' ? undefined : answer.content
    } finally {
      inFlight = false
    }
  }
  for (const trace of traces(SEED)) {
    let { text } = trace
    let newest = 0
    const look = lookAt(seen)
    for (const { character, offset, pauseMs } of trace.keys) {
      text = text.slice(0, offset) + character + text.slice(offset)
      if (pauseMs === 0) continue
      seen.keys++
      const mine = ++newest
      const [now, cursor] = [text, offset + 1]
      const begun = performance.now()
      const answer = (async () => {
        while (inFlight) {
          await sleep(150)
          if (mine !== newest) return undefined
        }
        if (text.slice(cursor).split('\n')[0]!.length > 8) return { tookMs: performance.now() - begun }
        const found = await infill(now, cursor)
        if (mine !== newest) return undefined
        const tookMs = performance.now() - begun
        if (found !== undefined && !inFlight)
          void infill(now.slice(0, cursor) + found + now.slice(cursor), cursor + found.length).catch(() => {})
        return { tookMs, ...(found !== undefined && { shown: found }) }
      })()
      answer.catch(() => {})
      await sleep(pauseMs)
      if (pauseMs >= LOOK_UP_MS) look(await Promise.race([answer, sleep(0, undefined)]), pauseMs)
    }
    while (inFlight) await sleep(20)
  }
  return seen
}

function windows(text: string, offset: number): { prefix: string; prompt: string; suffix: string } {
  const before = text.slice(0, offset).split('\n')
  const after = text.slice(offset).split('\n')
  const prompt = before.pop() ?? ''
  return {
    prefix: before
      .slice(-256)
      .map(line => `${line}\n`)
      .join(''),
    prompt,
    suffix: after.slice(0, 65).join('\n'),
  }
}

export const summary = (ms: readonly number[]) => ({ p50: percentile(ms, 0.5), p95: percentile(ms, 0.95) })
