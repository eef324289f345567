/** Measures a model on held-out code: bits per byte against compressors and an n-gram, and lines completed through a real hub. */
import { spawnSync } from 'node:child_process'
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { WebSocket } from 'ws'
import { type Hub, startHub } from '../../server/hub.ts'
import { LspClient } from '../../test/helpers/lsp_client.ts'
import type { Document } from './corpus.ts'
import { choosePlaces, isWellFormed, type Place } from './lines.ts'
import { bitsOf } from './loss.ts'
import { Ngram } from './ngram.ts'
import type { Tokenizer } from './tokenizer.ts'

const PLACES = 400
const WELL_FORMED_PLACES = 100
const MOST_BYTES = 160

export type Evaluation = {
  held_out_bytes: number
  bits_per_byte: { model: number; gzip: number; xz: number | null; ngram: number }
  /** Share of places whose line is completed exactly as its author did; the n-gram sees what is before the cursor, as `model_prefix_only` does. */
  line_completion: { places: number; model: number; model_prefix_only: number; ngram: number }
  /** Share of places whose completed line has its quotes and brackets in order. */
  well_formed: { places: number; model: number; ngram: number }
  /** The same of what an editor shows: of so many places, the share with a suggestion, and of those the share in order. */
  well_formed_in_editor: { places: number; shown: number; model: number }
}

export async function evaluate(
  model: string,
  tokenizer: Tokenizer,
  corpus: { training: readonly Document[]; heldOut: readonly Document[] },
  note: (line: string) => void,
): Promise<Evaluation> {
  const texts = corpus.heldOut.map(({ text }) => text)
  const all = Buffer.from(texts.join(''))
  const perByte = (bits: number): number => rounded(bits / all.length)
  // The compressors get everything in one stream, the model and the n-gram begin anew with each file.
  const gzip = perByte(8 * gzipSync(all, { level: 9 }).length)
  const xzBytes = xzLength(all)
  const xz = xzBytes === undefined ? null : perByte(8 * xzBytes)
  note(`gzip -9: ${gzip} bits per byte; xz -9: ${xz ?? 'no xz on this machine'}`)
  const ngram = new Ngram()
  for (const { text } of corpus.training) ngram.learn(Buffer.from(text))
  const ngramBits = perByte(texts.reduce((sum, text) => sum + ngram.bits(Buffer.from(text)), 0))
  note(`order-5 n-gram: ${ngramBits}`)
  const modelBits = perByte(await bitsOf(model, tokenizer, texts))
  note(`model: ${modelBits}`)

  const places = choosePlaces(texts, PLACES, 1)
  const ngramLines = places.map(({ before }) => ngram.completeLine(Buffer.from(before), MOST_BYTES))
  const { middle, prefixOnly } = await withHub(model, hub => completeThroughHub(hub, places))
  const inEditor = places.slice(0, WELL_FORMED_PLACES)
  const ghosts = await withHub(model, hub => completeInEditor(hub, inEditor))
  const lines = inEditor.flatMap(({ start }, index) => (ghosts[index] === undefined ? [] : [start + ghosts[index]]))
  const exact = (lines: string[]): number => share(places, (place, index) => same(lines[index]!, place.rest))
  const formed = (lines: string[]): number =>
    share(places.slice(0, WELL_FORMED_PLACES), (place, index) => isWellFormed(place.start + lines[index]!))
  return {
    held_out_bytes: all.length,
    bits_per_byte: { model: modelBits, gzip, xz, ngram: ngramBits },
    line_completion: {
      places: places.length,
      model: exact(middle),
      model_prefix_only: exact(prefixOnly),
      ngram: exact(ngramLines),
    },
    well_formed: { places: WELL_FORMED_PLACES, model: formed(middle), ngram: formed(ngramLines) },
    well_formed_in_editor: {
      places: inEditor.length,
      shown: rounded(lines.length / inEditor.length),
      model: rounded(lines.filter(isWellFormed).length / Math.max(1, lines.length)),
    },
  }
}

const same = (a: string, b: string): boolean => a.trimEnd() === b.trimEnd()
const rounded = (value: number): number => Math.round(value * 1000) / 1000
const share = (places: readonly Place[], holds: (place: Place, index: number) => boolean): number =>
  rounded(places.filter(holds).length / places.length)

/** Undefined where the machine has no xz. */
function xzLength(bytes: Buffer): number | undefined {
  const { status, stdout } = spawnSync('xz', ['-9', '--stdout'], { input: bytes, maxBuffer: 2 ** 28 })
  return status === 0 ? stdout.length : undefined
}

/** A hub of its own with the model and its card, whose sampling is what a request gets that names none. */
async function withHub<T>(model: string, use: (hub: Hub) => Promise<T>): Promise<T> {
  const home = mkdtempSync(join(tmpdir(), 'ai-hub-starter-'))
  const folder = join(home, 'local_models', 'code_models')
  mkdirSync(folder, { recursive: true })
  copyFileSync(model, join(folder, 'starter.gguf'))
  const card = model.replace(/\.gguf$/, '.model.json')
  if (existsSync(card)) copyFileSync(card, join(folder, 'starter.model.json'))
  const hub = await startHub({
    home,
    commandLine: { port: '0', device: 'cpu', poll: '0', threads: '1' },
    env: {},
    logSinks: [],
  })
  try {
    await hub.ready
    return await use(hub)
  } finally {
    await hub.close()
    rmSync(home, { recursive: true, force: true, maxRetries: 5 })
  }
}

/** As editors do: whole lines before the cursor, and the cursor's line, as far as it is written, as the prompt; once without what follows. */
async function completeThroughHub(
  hub: Hub,
  places: readonly Place[],
): Promise<{ middle: string[]; prefixOnly: string[] }> {
  const ask = async ({ before, start, after }: Place, seesAfter: boolean): Promise<string> => {
    const response = await fetch(`${hub.url}/infill`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({
        model: 'starter',
        input_prefix: before.slice(-1500, before.length - start.length),
        input_suffix: seesAfter ? after.slice(0, 500) : '',
        prompt: start,
        n_predict: 64,
        temperature: 0,
        stop: ['\n'],
      }),
    })
    if (!response.ok) throw new Error(`/infill answered ${response.status}: ${await response.text()}`)
    return ((await response.json()) as { content: string }).content
  }
  const middle: string[] = []
  const prefixOnly: string[] = []
  for (const place of places) {
    middle.push(await ask(place, true))
    prefixOnly.push(await ask(place, false))
  }
  return { middle, prefixOnly }
}

/** The first line of what the language server has an editor show at each place; undefined where it shows nothing. */
async function completeInEditor(hub: Hub, places: readonly Place[]): Promise<(string | undefined)[]> {
  const { token } = JSON.parse(readFileSync(join(hub.home, 'hub.json'), 'utf8')) as { token: string }
  const socket = new WebSocket(`${hub.url.replace('http', 'ws')}/lsp?token=${token}`)
  const client = new LspClient(text => socket.send(text))
  socket.on('message', data => client.take(data.toString()))
  await new Promise((done, failed) => socket.once('open', done).once('error', failed))
  try {
    await client.initialize({ settings: { completion: { model: 'starter', ahead: false } } })
    const shown: (string | undefined)[] = []
    for (const [index, { before, start, after }] of places.entries()) {
      const uri = `file:///work/place${index}.js`
      client.open(uri, before + after, 'javascript')
      const line = before.split('\n').length - 1
      const items = (await client.complete(uri, line, start.length).result) as { insertText: string }[] | null
      shown.push(items?.[0]?.insertText.split('\n')[0])
      client.notify('textDocument/didClose', { textDocument: { uri } })
    }
    return shown
  } finally {
    socket.close()
  }
}
