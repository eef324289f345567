/** Supervision of a child process: answers, hangs, memory, crashes, and its end. */
import assert from 'node:assert/strict'
import { resolve } from 'node:path'
import { test } from 'node:test'
import { Child, explainExit } from '../../server/lib/child.ts'
import { silentLog } from '../../server/lib/log.ts'

type Message = { type: string }
const script = resolve(import.meta.dirname, '../helpers/odd_child.ts')
const start = (args: string[], receive: (message: Message) => void = () => undefined, timing = {}) =>
  new Child<Message, Message, { rssBytes: number }>({ script, args, log: silentLog, ...timing }, receive)

test('messages go both ways, pings are answered, and it ends when asked', async () => {
  const echoed = Promise.withResolvers<Message>()
  const child = start([], echoed.resolve)
  child.send({ type: 'echo' })
  assert.deepEqual(await echoed.promise, { type: 'echo' })
  assert.deepEqual(await child.ping(), { rssBytes: 1e6 })
  await child.close({ type: 'exit' })
  assert.equal((await child.exited).expected, true)
  assert.equal(await child.ping(), undefined)
})

test('one that no longer answers is killed, and the reason is told', async () => {
  const child = start([], undefined, { pingMs: 20, hungMs: 400 })
  await child.ping(5000)
  child.send({ type: 'hang' })
  const exit = await child.exited
  assert.equal(exit.expected, false)
  assert.match(exit.reason ?? '', /did not answer/)
  assert.match(explainExit('the worker', exit).message, /the worker ended unexpectedly \(it did not answer/)
})

test('one that takes more memory than it may is killed', async () => {
  const child = start(['eat'], undefined, { pingMs: 20 })
  child.memoryLimitBytes = 1e9
  assert.match((await child.exited).reason ?? '', /4768 MiB of memory, over its limit of 954 MiB/)
})

test('the last words of one that crashes are in the message', async () => {
  const child = start([])
  child.send({ type: 'die' })
  const error = explainExit('the worker', await child.exited)
  assert.equal(error.code, 'worker_crashed')
  assert.match(error.message, /GGML_ASSERT\(n > 0\) failed/)
})

test('a program that does not exist ends at once', async () => {
  const child = new Child<Message, Message, never>(
    { script: resolve('no', 'such.ts'), log: silentLog },
    () => undefined,
  )
  assert.equal((await child.exited).expected, false)
})
