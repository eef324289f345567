/** The OpenAPI document against the route table, and the pages of /docs. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Ajv2020 } from 'ajv/dist/2020.js'
import { coreRoutes } from '../../server/http/all.ts'
import { openApi } from '../../server/http/openapi.ts'
import { openApiPath } from '../../server/http/route.ts'
import { fakeModels } from '../helpers/fake_models.ts'
import { fakeSystem, testHub } from '../helpers/hub.ts'

const routes = coreRoutes({
  models: fakeModels(),
  defaultModel: () => undefined,
  version: '1.2.3',
  startedAt: 0,
  systemStatus: async () => fakeSystem,
  storeChat: () => {},
  checks: async () => [],
  measured: () => undefined,
  changeCard: async () => {},
})
type Operation = {
  operationId: string
  requestBody?: { content: { 'application/json': { schema: { $ref: string } } } }
  responses: { 200: { content: { [type: string]: { schema: { $ref: string } } } } }
}
const document = openApi({ routes, version: '1.2.3' }) as {
  openapi: string
  info: { version: string }
  paths: { [path: string]: { [method: string]: Operation } }
  components: { schemas: { [name: string]: object } }
}

test('every route is in the document and nothing else', () => {
  const listed = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.keys(methods).map(method => `${method.toUpperCase()} ${path}`),
  )
  const expected = routes.map(route => `${route.method} ${openApiPath(route.path)}`)
  assert.deepEqual(listed.sort(), expected.sort())
  assert.deepEqual([document.openapi, document.info.version], ['3.1.0', '1.2.3'])
})

test('operations have names of their own, and streaming ones say so', () => {
  const operations = Object.values(document.paths).flatMap(methods => Object.values(methods))
  assert.equal(new Set(operations.map(operation => operation.operationId)).size, operations.length)
  const chat = document.paths['/v1/chat/completions']?.post
  assert.deepEqual(Object.keys(chat?.responses[200].content ?? {}), ['application/json', 'text/event-stream'])
})

test('every reference of the document leads somewhere', () => {
  const refs = [...JSON.stringify(document).matchAll(/"\$ref":"([^"]+)"/g)].map(match => match[1]!)
  assert.ok(refs.length > 20)
  for (const ref of refs) {
    const target = ref
      .slice('#/'.length)
      .split('/')
      .reduce<unknown>((node, key) => (node as { [key: string]: unknown } | undefined)?.[key], document)
    assert.notEqual(target, undefined, ref)
  }
})

test("the document's schemas judge as the door does", async context => {
  const ajv = new Ajv2020({ strict: false })
  ajv.addSchema({ $id: 'hub', components: document.components })
  const check = ajv.getSchema('hub#/components/schemas/PostV1ChatCompletionsRequest')
  const hub = await testHub(context)
  const base = { model: 'fake', messages: [{ role: 'user', content: 'x' }] }
  const bodies: [object, boolean][] = [
    [base, true],
    [{ ...base, temperature: 1, stop: 'x', tools: [] }, true],
    [{ ...base, foo: 1 }, false],
    [{ ...base, temperature: 3 }, false],
    [{ ...base, functions: [] }, false],
    [{ ...base, messages: [{ role: 'user', content: 'x', foo: 1 }] }, false],
    [{ messages: base.messages }, false],
  ]
  for (const [body, isValid] of bodies) {
    assert.equal(check?.(body), isValid, JSON.stringify(body))
    assert.equal((await hub.post('/v1/chat/completions', body)).status, isValid ? 200 : 400)
  }
})

test('the document and the pages are served, and name no other place', async context => {
  const hub = await testHub(context)
  assert.equal(((await hub.get('/openapi.json')).json as { openapi: string }).openapi, '3.1.0')
  for (const path of ['/', '/docs', '/docs/start.js']) {
    const answer = await hub.get(path)
    assert.equal(answer.status, 200, path)
    assert.doesNotMatch(answer.text, /https?:\/\//)
    assert.doesNotMatch(answer.text, /<script>|<style|onload=/)
    assert.match(answer.headers.get('content-security-policy') ?? '', /default-src 'none'; script-src 'self';/)
  }
  for (const [path, type] of [
    ['/docs/swagger-ui.css', 'text/css'],
    ['/docs/swagger-ui-bundle.js', 'text/javascript'],
  ] as const) {
    const answer = await hub.get(path)
    assert.equal(answer.status, 200, path)
    assert.ok(answer.headers.get('content-type')?.startsWith(type))
    assert.ok(answer.text.length > 10_000)
  }
})
