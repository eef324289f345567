/** The extension's calls of the HTTP API, against a server that answers by heart. */
import assert from 'node:assert/strict'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type TestContext, test } from 'node:test'
import { type Api, ApiError, createApi, readEvents } from '../../extension/api.ts'

async function server(
  context: TestContext,
  answer: (request: IncomingMessage, body: string, response: ServerResponse) => void,
): Promise<Api> {
  const listening = createServer(async (request, response) => {
    let body = ''
    for await (const piece of request) body += piece
    answer(request, body, response)
  })
  await new Promise<void>(resolve => listening.listen(0, '127.0.0.1', resolve))
  context.after(() => {
    listening.closeAllConnections()
    listening.close()
  })
  return createApi(async () => ({
    url: `http://127.0.0.1:${(listening.address() as AddressInfo).port}`,
    token: 'secret',
  }))
}

test('a call shows the token, names method, path and body, and ids stay one part of the path', async context => {
  const seen: string[] = []
  const api = await server(context, ({ method, url, headers }, body, response) => {
    assert.equal(headers.authorization, 'Bearer secret')
    seen.push(`${method} ${url} ${body}`)
    response.end('{"data":[]}')
  })
  assert.deepEqual(await api.datasets(), [])
  await api.load('folder/model')
  await api.deleteAdapter('folder/base:my name')
  await api.changeJob('a/b', 'pause')
  assert.deepEqual(seen, [
    'GET /v1/training/datasets ',
    'POST /v1/models/load {"model":"folder/model"}',
    'DELETE /v1/training/adapters/folder/base%3Amy%20name ',
    'POST /v1/fine_tuning/jobs/a%2Fb/pause ',
  ])
})

test("an error carries the hub's own message, or the status where there is none", async context => {
  const api = await server(context, ({ url }, _body, response) => {
    response.statusCode = 409
    response.end(url === '/v1/models/unload' ? '{"error":{"message":"m is in use"}}' : 'no JSON')
  })
  await assert.rejects(api.unload('m'), (error: ApiError) => error.message === 'm is in use' && error.status === 409)
  await assert.rejects(api.load('m'), new ApiError(409, 'The hub answered 409.'))
})

test('an upload carries the file by its name', async context => {
  let sent = ''
  const api = await server(context, (_request, body, response) => {
    sent = body
    response.end('{"id":"file-1"}')
  })
  assert.equal(await api.upload(new Blob(['{"text":"a"}']), 'data.jsonl', new AbortController().signal), 'file-1')
  assert.match(sent, /name="purpose"\r\n\r\nfine-tune/)
  assert.match(sent, /filename="data.jsonl"[\s\S]*\{"text":"a"\}/)
})

test('a chat streams its chunks up to the end, and an error within it is thrown', async context => {
  const api = await server(context, (_request, body, response) => {
    assert.equal(JSON.parse(body).stream, true)
    response.write('data: {"choices":[{"delta":{"content":"a"}}]}\n\n')
    response.write(JSON.parse(body).fails ? 'data: {"error":{"message":"it broke"}}\n\n' : 'data: [DONE]\n\n')
    response.end('data: {"choices":[]}\n\n')
  })
  const all = async (request: object) => {
    const chunks = []
    for await (const chunk of api.chat(request, new AbortController().signal)) chunks.push(chunk)
    return chunks
  }
  assert.deepEqual(await all({}), [{ choices: [{ delta: { content: 'a' } }] }])
  await assert.rejects(all({ fails: true }), /it broke/)
})

test('events may be cut anywhere, letters of several bytes included', async () => {
  const bytes = new TextEncoder().encode(': note\n\ndata: Việt\r\n\r\nevent: x\ndata:a\ndata: b\n\n')
  for (let size = 1; size <= bytes.length; size++) {
    const pieces = async function* () {
      for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size)
    }
    const found: string[] = []
    for await (const data of readEvents(pieces())) found.push(data)
    assert.deepEqual(found, ['Việt', 'a\nb'], `in pieces of ${size}`)
  }
})
