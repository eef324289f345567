/** `ai-hub pull` over a real hub and a server that plays the model hub: progress, the end, Ctrl+C, a dry run, and the suggestions. */
import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { parseCommandLine, UsageError } from '../../server/cli/args.ts'
import { type PullDeps, runPull } from '../../server/cli/pull.ts'
import { type Hub, startHub } from '../../server/hub.ts'
import { hubFile, modelHub } from '../helpers/model_hub.ts'
import { modelBytes } from '../helpers/pulls.ts'

const MODEL = modelBytes()
const REPO = 'maker/tiny-GGUF'

async function setUp(context: TestContext) {
  const remote = await modelHub(context, {
    [REPO]: { 'tiny-Q4_K_M.gguf': hubFile(MODEL, { etag: '"e"' }), 'tiny-Q8_0.gguf': hubFile(MODEL) },
  })
  const home = mkdtempSync(join(tmpdir(), 'ai-hub-pull-'))
  context.after(() => rmSync(home, { recursive: true, force: true, maxRetries: 5 }))
  const out: string[] = []
  const notes: string[] = []
  const stop = new AbortController()
  let hub: Hub | undefined
  const deps: PullDeps = {
    findHub: async () => undefined,
    startHub: async () => {
      hub = await startHub({
        home,
        commandLine: { port: '0', device: 'cpu' },
        env: { HF_ENDPOINT: remote.url },
        logSinks: [],
      })
      await hub.ready
      return hub
    },
    terminal: { write: text => void out.push(text), colour: false },
    notes: { write: text => void notes.push(text), colour: false },
    columns: 100,
    wait: () => new Promise(setImmediate),
    signal: stop.signal,
  }
  const files = (folder: string) => readdirSync(join(home, 'local_models', folder))
  return { remote, deps, out, notes, stop, files }
}

const OPTIONS = { dryRun: false, json: false }

test('it shows the progress and says how to use the model', async context => {
  const { deps, out, notes, files } = await setUp(context)
  assert.equal(await runPull(deps, { ...OPTIONS, model: REPO }), 0)
  assert.match(notes.join(''), /maker\/tiny-GGUF, into chat_models\n.*\d %.*MB of 1 MB/s)
  assert.equal(out.join(''), 'tiny-Q4_K_M is in chat_models: ai-hub chat --model tiny-Q4_K_M\n')
  assert.deepEqual(files('chat_models'), ['tiny-Q4_K_M.gguf'])
  out.length = 0
  assert.equal(await runPull({ ...deps, columns: undefined }, { ...OPTIONS, model: REPO, json: true }), 0)
  assert.equal(JSON.parse(out.join('')).state, 'done')
})

test('Ctrl+C keeps what came, and the same command goes on from there', async context => {
  const { remote, deps, notes, stop, files } = await setUp(context)
  remote.misbehave = (request, response, file) => {
    if (request.headers.range !== undefined) return false
    response.writeHead(200, { 'content-length': file.bytes.length, etag: '"e"' })
    response.write(file.bytes.subarray(0, 4000))
    return true
  }
  const wait = async () => {
    await new Promise(setImmediate)
    if (notes.join('').includes('MB of 1 MB') && files('chat_models').some(name => name.endsWith('.part'))) stop.abort()
  }
  assert.equal(await runPull({ ...deps, wait }, { ...OPTIONS, model: REPO }), 130)
  assert.match(notes.join(''), /Stopped\. .*same command goes on\.\n$/)
  assert.ok(files('chat_models').includes('tiny-Q4_K_M.gguf.part'))
  assert.equal(await runPull({ ...deps, signal: new AbortController().signal }, { ...OPTIONS, model: REPO }), 0)
  assert.deepEqual(files('chat_models'), ['tiny-Q4_K_M.gguf'])
})

test('a dry run only says what would be fetched; what is not there is said with what is', async context => {
  const { remote, deps, out, files } = await setUp(context)
  assert.equal(await runPull(deps, { ...OPTIONS, model: `${REPO}:Q8_0`, folder: 'custom_models', dryRun: true }), 0)
  assert.match(
    out.join(''),
    /^tiny-Q8_0, from \S+maker\/tiny-GGUF into custom_models\n {2}tiny-Q8_0\.gguf {2}1 MB\n {2}disk: .* free\n {2}memory: fits, /,
  )
  assert.match(out.join(''), /there is Q4_K_M \(1 MB\), Q8_0 \(1 MB\)/)
  assert.deepEqual(files('custom_models'), [])
  await assert.rejects(runPull(deps, { ...OPTIONS, model: REPO, quant: 'Q2_K' }), {
    code: 'not_found',
    message: /has no Q2_K\. There is/,
  })
  remote.misbehave = (_request, response) => {
    response.writeHead(403, { 'x-error-code': 'GatedRepo' }).end()
    return true
  }
  await assert.rejects(runPull(deps, { ...OPTIONS, model: REPO }), { message: /HF_TOKEN/ })
})

test('without a name it shows what suits this machine, and asks no other one', async context => {
  const { remote, deps, out, notes } = await setUp(context)
  assert.equal(await runPull(deps, OPTIONS), 0)
  assert.match(out.join(''), /qwen3-0\.6b +~640 MB +chat +apache-2\.0\n/)
  assert.match(out.join(''), /Best for .* here: fits the memory, needs about/)
  assert.match(notes.join(''), /ai-hub pull NAME/)
  assert.deepEqual(remote.seen, [])
})

test('what is typed', () => {
  assert.deepEqual(parseCommandLine(['pull']), { name: 'pull', options: OPTIONS })
  assert.deepEqual(
    parseCommandLine(['pull', 'a/b', '--quant', 'Q4_0', '--folder', 'code', '--dry-run', '--home', 'h']),
    {
      name: 'pull',
      home: 'h',
      options: { model: 'a/b', quant: 'Q4_0', folder: 'code_models', dryRun: true, json: false },
    },
  )
  assert.throws(() => parseCommandLine(['pull', 'a/b', '--folder', 'x']), UsageError)
  assert.throws(() => parseCommandLine(['pull', '--quant', 'Q4_0']), /Name the model/)
})
