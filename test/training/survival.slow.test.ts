/** Training jobs of a real hub that is killed, whose trainer is killed, that are paused and resumed: the adapter is the same to the byte. */
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { after, type TestContext, test } from 'node:test'
import { readEvents } from '../../server/cli/api.ts'
import { JobProgress, TrainingEventOut, TrainingJobOut } from '../../server/wire/training.ts'
import { makeModel } from '../helpers/gguf_file.ts'
import { RANDOM_CHAT } from '../helpers/real_hub.ts'

const MAIN = resolve(import.meta.dirname, '../../server/main.ts')
const home = mkdtempSync(join(tmpdir(), 'hub-survival-'))
const children = new Set<ChildProcess>()
after(() => {
  for (const child of children) child.kill('SIGKILL')
  rmSync(home, { recursive: true, force: true, maxRetries: 5 })
})
mkdirSync(join(home, 'local_models', 'chat_models'), { recursive: true })
mkdirSync(join(home, 'training_data'))
makeModel(join(home, 'local_models', 'chat_models', 'tiny.gguf'), { ...RANDOM_CHAT, embedding: 32, feedForward: 64 })
writeFileSync(
  join(home, 'training_data', 'sums.jsonl'),
  Array.from({ length: 40 }, (_, i) =>
    JSON.stringify({ prompt: `What is ${i} plus one? `, completion: `It is ${i + 1}, of course.` }),
  ).join('\n'),
)

type Hub = { url: string; kill(): Promise<void> }

async function serve(context: TestContext): Promise<Hub> {
  const args = [
    MAIN,
    'serve',
    '--home',
    home,
    '--port',
    '0',
    '--device',
    'cpu',
    '--threads',
    '1',
    '--log-level',
    'warn',
  ]
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  children.add(child)
  const url = await new Promise<string>((found, failed) => {
    let text = ''
    child.stdout.on('data', (bytes: Buffer) => {
      text += bytes.toString()
      const match = /OpenAI API\s+(\S+)\/v1/.exec(text)?.[1]
      if (match !== undefined) found(match)
    })
    child.once('close', code => failed(new Error(`it ended with ${code}: ${text}`)))
  })
  const closed = new Promise<void>(done => child.once('close', () => done()))
  const kill = async () => {
    child.kill('SIGKILL')
    await closed
    children.delete(child)
  }
  context.after(kill)
  return { url, kill }
}

async function post(hub: Hub, path: string, body?: unknown): Promise<TrainingJobOut> {
  const response = await fetch(hub.url + path, {
    method: 'POST',
    ...(body !== undefined && { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
  })
  const value = (await response.json()) as TrainingJobOut
  assert.equal(response.status, 200, JSON.stringify(value))
  return value
}

const start = (hub: Hub, name: string) =>
  post(hub, '/v1/training/start', {
    model_name: 'tiny',
    dataset_path: 'training_data/sums.jsonl',
    name,
    config: { epochs: 12, batch_size: 4, save_interval: 10, eval_interval: 20, patience: 0, rank: 4, seed: 5 },
  })

type Seen = { job: TrainingJobOut; messages: TrainingEventOut[] }

/** Follows the job to its end, or until `stop` says so. */
async function follow(
  hub: Hub,
  id: string,
  stop: (progress: JobProgress, pid: number) => boolean = () => false,
): Promise<Seen> {
  const response = await fetch(`${hub.url}/v1/training/status/${id}?stream=true`)
  const messages: TrainingEventOut[] = []
  let pid = 0
  for await (const data of readEvents(response.body!)) {
    const value = JSON.parse(data) as object
    const event = TrainingEventOut.safeParse(value).data
    if (event !== undefined) {
      messages.push(event)
      if (typeof event.data?.pid === 'number') pid = event.data.pid
      continue
    }
    const progress = JobProgress.safeParse(value).data
    if (progress !== undefined && stop(progress, pid)) break
  }
  const job = TrainingJobOut.parse(await (await fetch(`${hub.url}/v1/training/status/${id}`)).json())
  return { job, messages }
}

const adapterHash = (name: string): string =>
  createHash('sha256')
    .update(readFileSync(join(home, 'trained_models', 'tiny', `${name}.gguf`)))
    .digest('hex')

let whole: string | undefined

test('an unbroken run, to compare with', async context => {
  const hub = await serve(context)
  const { id } = await start(hub, 'whole')
  const { job } = await follow(hub, id)
  assert.equal(job.status, 'succeeded', JSON.stringify(job.error))
  assert.ok(job.progress!.total_steps > 80, `${job.progress!.total_steps} steps`)
  whole = adapterHash('whole')
})

test('kill -9 of the trainer, twice: the hub starts it again, and the adapter is the same', async context => {
  const hub = await serve(context)
  const { id } = await start(hub, 'trainer-killed')
  for (const step of [25, 50]) {
    await follow(hub, id, (progress, pid) => {
      if (progress.step < step) return false
      process.kill(pid, 'SIGKILL')
      return true
    })
  }
  const { job, messages } = await follow(hub, id)
  assert.deepEqual([job.status, job.restarts], ['succeeded', 2], JSON.stringify(job.error))
  assert.ok(job.lost_steps <= 2 * job.checkpoint_every_steps!, `${job.lost_steps} steps lost`)
  assert.equal(messages.filter(({ message }) => /killed from outside/.test(message)).length, 2)
  assert.equal(adapterHash('trainer-killed'), whole)
})

test('kill -9 of the hub, twice: the next hub goes on, says so, and the adapter is the same', async context => {
  let hub = await serve(context)
  const { id } = await start(hub, 'hub-killed')
  for (const step of [20, 55]) {
    await follow(hub, id, progress => progress.step >= step)
    await hub.kill()
    hub = await serve(context)
  }
  const { job, messages } = await follow(hub, id)
  assert.deepEqual([job.status, job.restarts], ['succeeded', 2], JSON.stringify(job.error))
  const told = messages.filter(({ message }) => /hub was ended.*at most 10 steps are done again/.test(message))
  assert.equal(told.length, 2)
  assert.equal(adapterHash('hub-killed'), whole)
})

test('paused and resumed, through OpenAI’s addresses: nothing is lost, and the adapter is the same', async context => {
  const hub = await serve(context)
  const { id } = await start(hub, 'paused')
  await follow(hub, id, progress => progress.step >= 33)
  assert.equal((await post(hub, `/v1/fine_tuning/jobs/${id}/pause`)).status, 'paused')
  // The stream of a paused job ends.
  assert.equal((await follow(hub, id)).job.status, 'paused')
  await post(hub, `/v1/fine_tuning/jobs/${id}/resume`)
  const { job } = await follow(hub, id)
  assert.deepEqual([job.status, job.lost_steps, job.restarts], ['succeeded', 0, 0], JSON.stringify(job.error))
  assert.equal(adapterHash('paused'), whole)
})

test('killed while it waits in the queue or reads its data, a job is taken up again', async context => {
  let hub = await serve(context)
  const { id } = await start(hub, 'early')
  await hub.kill()
  hub = await serve(context)
  const { job } = await follow(hub, id)
  assert.equal(job.status, 'succeeded', JSON.stringify(job.error))
  assert.equal(adapterHash('early'), whole)
})
