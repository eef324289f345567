/** `ai-hub train` and `ai-hub jobs` against a door over the scripted trainer. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { parseCommandLine, UsageError } from '../../server/cli/args.ts'
import { runJobs } from '../../server/cli/jobs.ts'
import { runTrain, type TrainDeps, type TrainOptions, tellDuration } from '../../server/cli/train.ts'
import { fileRoutes } from '../../server/http/files.ts'
import { fineTuningRoutes } from '../../server/http/fine_tuning.ts'
import { trainingRoutes } from '../../server/http/training.ts'
import type { Schedules } from '../../server/training/schedule.ts'
import { testHub } from '../helpers/hub.ts'
import { openQueue, type Queue } from '../helpers/job_queue.ts'
import type { Script } from '../helpers/scripted_trainer.ts'

type Setup = { queue: Queue; url: string; out: string[]; notes: string[]; deps: TrainDeps; stop: AbortController }

async function setUp(context: Parameters<typeof testHub>[0], script: Script): Promise<Setup> {
  const queue = openQueue(context, { script })
  queue.jobs.start()
  mkdirSync(join(queue.home, 'training_data'))
  const files = {
    db: queue.db,
    folder: join(queue.home, 'files'),
    maxBytes: () => 1e6,
    userOf: (file: string) => queue.jobs.userOf({ file }),
    now: Date.now,
  }
  const { url } = await testHub(context, {
    routes: () => [
      ...fileRoutes(files),
      ...fineTuningRoutes(queue),
      ...trainingRoutes({
        home: queue.home,
        jobs: queue.jobs,
        schedules: {} as Schedules,
        samples: () => assert.fail('nobody asks for samples'),
      }),
    ],
  })
  const out: string[] = []
  const notes: string[] = []
  const stop = new AbortController()
  const deps: TrainDeps = {
    home: queue.home,
    findHub: async () => ({ url }),
    startHub: () => assert.fail('a hub runs already'),
    terminal: { write: text => void out.push(text), colour: false },
    notes: { write: text => void notes.push(text), colour: false },
    columns: undefined,
    ask: undefined,
    signal: stop.signal,
  }
  return { queue, url, out, notes, deps, stop }
}

const OPTIONS: TrainOptions = {
  model: 'base',
  data: 'set',
  name: 'mine',
  config: { epochs: '2' },
  replace: false,
  search: false,
  evaluate: false,
  dryRun: false,
  yes: false,
  json: false,
}

test('it shows the plan, the progress, the curve, and what to do with the result', async context => {
  const { deps, out, notes } = await setUp(context, { steps: 20 })
  assert.equal(await runTrain(deps, OPTIONS), 0)
  const said = notes.join('')
  assert.match(said, /base:mine\n {2}3 samples to learn from, 1 to validate on; 30 tokens, 12 of them learned/)
  assert.match(said, /epochs +2 +because/)
  assert.match(said, /step 20\/20 {2}loss 0\.095/)
  assert.match(said, /validation loss/)
  assert.equal(out.join(''), 'base:mine is ready: ai-hub chat --model base:mine\n')
})

test('dry-run only shows the plan; a no at the question trains nothing', async context => {
  const { deps, out, notes, queue } = await setUp(context, { steps: 4 })
  assert.equal(await runTrain(deps, { ...OPTIONS, dryRun: true }), 0)
  assert.match(out.join(''), /base:mine/)
  assert.equal(await runTrain({ ...deps, ask: async () => false }, OPTIONS), 0)
  assert.match(notes.join(''), /Nothing was trained/)
  assert.deepEqual(queue.jobs.list({ limit: 10 }).jobs, [])
})

test('a file outside home is copied to the hub and taken away again; one inside is named by its path', async context => {
  const { deps, queue } = await setUp(context, { steps: 4 })
  const outside = join(import.meta.dirname, 'train.test.ts')
  assert.equal(await runTrain(deps, { ...OPTIONS, data: outside }), 0)
  const [job] = queue.jobs.list({ limit: 10 }).jobs
  assert.equal(job?.request.data.type, 'file')
  assert.deepEqual(readdirSync(join(queue.home, 'files')), [])
  const inside = join(queue.home, 'training_data', 'x.jsonl')
  writeFileSync(inside, 'x')
  assert.equal(await runTrain(deps, { ...OPTIONS, data: inside, name: 'inside' }), 0)
  assert.equal(queue.jobs.list({ limit: 1 }).jobs[0]?.request.data.type, 'path')
})

test('Ctrl+C cancels the job and says how to go on', async context => {
  const { deps, out, stop, queue } = await setUp(context, { steps: 20, holdAt: 6 })
  queue.jobs.listen(event => {
    if (event.type === 'training.progress' && event.progress.step === 6) stop.abort()
  })
  assert.equal(await runTrain(deps, OPTIONS), 130)
  const [job] = queue.jobs.list({ limit: 10 }).jobs
  assert.equal(job?.status, 'cancelled')
  assert.match(out.join(''), new RegExp(`Cancelled at step 6. "ai-hub jobs resume ${job?.id}" goes on`))
})

test('a job that fails ends with its reason and exit code 1', async context => {
  const { deps, out } = await setUp(context, { steps: 20, failAt: 3 })
  assert.equal(await runTrain(deps, OPTIONS), 1)
  assert.match(out.join(''), /The disk is full; free some space/)
})

test('a bar is drawn over where someone looks', async context => {
  const { deps, notes } = await setUp(context, { steps: 10 })
  await runTrain({ ...deps, columns: 80 }, OPTIONS)
  const bars = notes.filter(text => text.startsWith('\r') && text.includes('10/10') && !text.includes('\n'))
  assert.ok(bars.length > 0)
  assert.ok(bars.every(text => text.length < 90))
})

test('jobs are listed, cancelled and resumed by name', async context => {
  const { queue, url } = await setUp(context, { steps: 20, holdAt: 6 })
  const out: string[] = []
  const jobs = {
    findHub: async () => ({ url }),
    terminal: { write: (text: string) => void out.push(text), colour: false },
  }
  assert.equal(await runJobs(jobs, { action: 'list', json: false }), 0)
  assert.match(out.join(''), /There are no training jobs/)
  const { id } = queue.add('mine', { steps: 20, holdAt: 6 })
  await queue.until(id, event => event.type === 'training.progress' && event.progress.step === 6)
  out.length = 0
  await runJobs(jobs, { action: 'list', json: false })
  assert.match(out.join(''), /base:mine {2}running \(training\) +6\/20/)
  for (const [action, status] of [
    ['pause', 'paused'],
    ['cancel', 'cancelled'],
    ['resume', '(queued|running)'],
  ] as const) {
    out.length = 0
    await runJobs(jobs, { action, id, json: false })
    assert.match(out.join(''), new RegExp(`${id} is ${status}\\.`))
  }
  await assert.rejects(runJobs(jobs, { action: 'pause', id: 'nobody', json: false }), /no training job 'nobody'/)
  await assert.rejects(
    runJobs({ ...jobs, findHub: async () => undefined }, { action: 'list', json: false }),
    /ai-hub serve/,
  )
})

test('the command line of both', () => {
  const line = ['train', '-m', 'base', '-d', 'x.jsonl', '--epochs', '3', '--learning-rate', '2e-4', '--replace', '-y']
  assert.deepEqual(parseCommandLine(line), {
    name: 'train',
    options: {
      model: 'base',
      data: 'x.jsonl',
      config: { epochs: '3', learning_rate: '2e-4' },
      replace: true,
      search: false,
      evaluate: false,
      dryRun: false,
      yes: true,
      json: false,
    },
  })
  assert.throws(() => parseCommandLine(['train', '-m', 'base']), UsageError)
  assert.deepEqual(parseCommandLine(['jobs', 'pause', 'a']), { name: 'jobs', json: false, action: 'pause', id: 'a' })
  assert.throws(() => parseCommandLine(['jobs', 'puase', 'a']), /Did you mean "pause"/)
  assert.throws(() => parseCommandLine(['jobs', 'pause']), /Name the job/)
})

test('times in words', () => {
  assert.deepEqual([3, 89, 90, 3600, 7260].map(tellDuration), ['3 s', '89 s', '2 min', '60 min', '2 h 1 min'])
})

test('a validation file from elsewhere is copied to the hub as well, and both are taken away again', async context => {
  const { deps, queue, notes } = await setUp(context, { steps: 4 })
  const folder = mkdtempSync(join(tmpdir(), 'hub-elsewhere-'))
  context.after(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }))
  const [data, validation] = [join(folder, 'a.jsonl'), join(folder, 'b.jsonl')]
  for (const path of [data, validation]) writeFileSync(path, '{}')
  assert.equal(await runTrain(deps, { ...OPTIONS, data, validation }), 0)
  assert.match(notes.join(''), /Copying a\.jsonl[\s\S]*Copying b\.jsonl/)
  const [job] = queue.jobs.list({ limit: 1 }).jobs
  assert.deepEqual([job?.request.data.type, job?.request.validation?.type], ['file', 'file'])
  assert.deepEqual(readdirSync(join(queue.home, 'files')), [])
})

test('a file that is not there and a folder elsewhere are told with the fix', async context => {
  const { deps } = await setUp(context, { steps: 4 })
  await assert.rejects(runTrain(deps, { ...OPTIONS, data: 'none.jsonl' }), /There is no file .*none\.jsonl/)
  await assert.rejects(runTrain(deps, { ...OPTIONS, data: tmpdir() }), /ai-hub datasets import NAME/)
})

test('a hub that ends while the job runs is said to have ended', async context => {
  const { deps, url } = await setUp(context, { steps: 9, holdAt: 3 })
  // Stands between: answers as the hub does, until the stream, which breaks off.
  const server = createServer(async (request, response) => {
    if (request.url?.endsWith('stream=true')) {
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      response.write('event: message\n', () => request.socket.destroy())
      return
    }
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    const { status, json } = await askHub(`${url}${request.url}`, request.method ?? 'GET', Buffer.concat(chunks))
    response.writeHead(status, { 'content-type': 'application/json' })
    response.end(json)
  }).listen(0, '127.0.0.1')
  context.after(() => void server.close())
  await once(server, 'listening')
  const between = { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` }
  await assert.rejects(
    runTrain({ ...deps, findHub: async () => between }, OPTIONS),
    /The hub ended while the job ran.*the job goes on from its last checkpoint/,
  )
})

async function askHub(url: string, method: string, body: Buffer): Promise<{ status: number; json: string }> {
  const headers = { 'content-type': 'application/json' }
  const response = await fetch(url, method === 'GET' ? {} : { method, headers, body: new Uint8Array(body) })
  return { status: response.status, json: await response.text() }
}
