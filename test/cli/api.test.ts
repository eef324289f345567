/** The command line's calls to the hub: what it refuses and its end are told in its own words. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type TestContext, test } from 'node:test'
import { callHub } from '../../server/cli/api.ts'
import type { HubError } from '../../server/lib/error.ts'

async function serve(context: TestContext, listener: RequestListener): Promise<string> {
  const server = createServer(listener).listen(0, '127.0.0.1')
  context.after(() => void server.close())
  await once(server, 'listening')
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

test('a refusal keeps its code, so that it is shown as one and not as a fault of the program', async context => {
  const url = await serve(context, (_, response) => {
    response.writeHead(503, { 'content-type': 'application/json' })
    response.end(JSON.stringify({ error: { message: 'needs 9 GiB', code: 'insufficient_memory' } }))
  })
  await assert.rejects(
    callHub({ url }, 'POST', '/x', {}),
    (error: HubError) => error.code === 'insufficient_memory' && error.message === 'needs 9 GiB',
  )
})

test('a hub that ends before it answers is said to have ended', async context => {
  const url = await serve(context, request => request.socket.destroy())
  await assert.rejects(callHub({ url }, 'GET', '/x'), (error: HubError) => error.code === 'shutting_down')
})

test('a call can be stopped, and what is sent arrives', async context => {
  const stop = new AbortController()
  const url = await serve(context, (request, response) => {
    if (request.url === '/echo') request.pipe(response)
    else stop.abort()
  })
  assert.deepEqual(await callHub({ url }, 'POST', '/echo', { text: 'chữ' }), { text: 'chữ' })
  await assert.rejects(
    callHub({ url }, 'GET', '/wait', undefined, stop.signal),
    (error: HubError) => error.code === 'cancelled',
  )
})
