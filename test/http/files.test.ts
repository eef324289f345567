/** /v1/files over a real door: uploads as the openai client sends them, and bodies that are wrong in every way. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { request as httpRequest } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import OpenAI, { toFile } from 'openai'
import { fileRoutes, tidyFiles } from '../../server/http/files.ts'
import { openDatabase } from '../../server/storage/db.ts'
import { type TestHub, testHub } from '../helpers/hub.ts'
import { specMissing, validate } from '../helpers/openapi_spec.ts'

type Context = Parameters<typeof testHub>[0]
type Set = {
  hub: TestHub
  client: OpenAI
  folder: string
  deps: Parameters<typeof fileRoutes>[0]
  clock: { ms: number }
}

async function setUp(context: Context, more: Partial<Parameters<typeof fileRoutes>[0]> = {}): Promise<Set> {
  const home = mkdtempSync(join(tmpdir(), 'hub-files-'))
  const db = openDatabase(join(home, 'hub.db'))
  const folder = join(home, 'files')
  const clock = { ms: 1_700_000_000_000 }
  const deps = { db, folder, maxBytes: () => 1_000_000, userOf: () => undefined, now: () => clock.ms, ...more }
  const hub = await testHub(context, { routes: () => fileRoutes(deps) })
  context.after(async () => {
    db.close()
    rmSync(home, { recursive: true, force: true, maxRetries: 5 })
  })
  const client = new OpenAI({ baseURL: `${hub.url}/v1`, apiKey: 'none', maxRetries: 0 })
  return { hub, client, folder, deps, clock }
}

const upload = async (client: OpenAI, text: string, name = 'data.jsonl') =>
  client.files.create({ file: await toFile(Buffer.from(text), name), purpose: 'fine-tune' })

test('a file goes up, is listed page by page, comes down the same, and is deleted', async context => {
  const { client, folder } = await setUp(context)
  const text = '{"a":"Việt Nam"}\n'.repeat(5000)
  const file = await upload(client, text, 'dữ liệu.jsonl')
  assert.deepEqual(
    [file.bytes, file.filename, file.purpose, file.created_at],
    [Buffer.byteLength(text), 'dữ liệu.jsonl', 'fine-tune', 1_700_000_000],
  )
  assert.equal((file as unknown as { sha256: string }).sha256, createHash('sha256').update(text).digest('hex'))
  assert.equal(await (await client.files.content(file.id)).text(), text)
  const more = [await upload(client, 'x'), await upload(client, 'y')]
  const listed = []
  for await (const each of client.files.list({ limit: 2 })) listed.push(each.id)
  assert.deepEqual(listed, [more[1]!.id, more[0]!.id, file.id])
  const oldest = await client.files.list({ order: 'asc', limit: 1 })
  assert.deepEqual(
    oldest.data.map(({ id }) => id),
    [file.id],
  )
  assert.deepEqual((await client.files.list({ purpose: 'batch' })).data, [])
  assert.deepEqual(await client.files.delete(file.id), { id: file.id, object: 'file', deleted: true })
  await assert.rejects(client.files.retrieve(file.id), { status: 404 })
  assert.equal(readdirSync(folder).length, 2)
})

test('answers have the shapes of OpenAI’s document', { skip: specMissing }, async context => {
  const { hub, client } = await setUp(context)
  const file = await upload(client, 'x')
  assert.deepEqual(validate('OpenAIFile', file), [])
  assert.deepEqual(validate('ListFilesResponse', (await hub.get('/v1/files')).json), [])
  assert.deepEqual(validate('DeleteFileResponse', await client.files.delete(file.id)), [])
})

test('a file that a job uses is not deleted', async context => {
  const { client } = await setUp(context, { userOf: () => 'ftjob-1' })
  const file = await upload(client, 'x')
  await assert.rejects(client.files.delete(file.id), { status: 409, message: /used by the job ftjob-1/ })
  assert.equal((await client.files.retrieve(file.id)).id, file.id)
})

test('a file goes when its time is over', async context => {
  const { client, folder, clock } = await setUp(context)
  const file = await client.files.create({
    file: await toFile(Buffer.from('x'), 'x.jsonl'),
    purpose: 'batch',
    expires_after: { anchor: 'created_at', seconds: 3600 },
  })
  assert.equal(file.expires_at, file.created_at + 3600)
  clock.ms += 3_600_000
  await assert.rejects(client.files.retrieve(file.id), { status: 404 })
  assert.deepEqual(readdirSync(folder), [])
})

test('what is too large is refused while it comes, and nothing stays behind', async context => {
  const { client, folder } = await setUp(context, { maxBytes: () => 2 ** 20 })
  await assert.rejects(upload(client, 'x'.repeat(2 ** 20 + 1)), {
    status: 413,
    message: /1 MiB, the setting maxUploadMiB/,
  })
  await assert.rejects(upload(client, 'x'.repeat(3 * 2 ** 20)), { status: 413 })
  assert.deepEqual(readdirSync(folder), [])
})

const part = (name: string, value: string, filename?: string): string =>
  `--B\r\nContent-Disposition: form-data; name="${name}"${filename === undefined ? '' : `; filename="${filename}"`}\r\n\r\n${value}\r\n`

const WRONG: [what: string, body: string, status: number, message: RegExp][] = [
  ['no file', `${part('purpose', 'fine-tune')}--B--`, 400, /file/],
  ['a file as text', `${part('purpose', 'fine-tune')}${part('file', 'x')}--B--`, 400, /has to be a file/],
  ['no purpose', `${part('file', 'x', 'x')}--B--`, 400, /purpose/],
  ['another purpose', `${part('purpose', 'fun')}${part('file', 'x', 'x')}--B--`, 400, /purpose/],
  [
    'an unknown field',
    `${part('purpose', 'batch')}${part('file', 'x', 'x')}${part('color', 'red')}--B--`,
    400,
    /color/,
  ],
  [
    'a field twice',
    `${part('purpose', 'batch')}${part('purpose', 'batch')}${part('file', 'x', 'x')}--B--`,
    400,
    /twice/,
  ],
  ['two files', `${part('purpose', 'batch')}${part('file', 'x', 'x')}${part('file', 'y', 'y')}--B--`, 400, /one file/],
  ['a file of another name', `${part('purpose', 'batch')}${part('data', 'x', 'x')}--B--`, 400, /data/],
  ['an empty file', `${part('purpose', 'batch')}${part('file', '', 'x')}--B--`, 400, /empty/],
  [
    'half an expiry',
    `${part('purpose', 'batch')}${part('expires_after[seconds]', '3600')}${part('file', 'x', 'x')}--B--`,
    400,
    /anchor/,
  ],
  ['a body that ends too early', `${part('purpose', 'batch')}${part('file', 'x', 'x')}`, 400, /not valid multipart/],
  ['a header that does not end', `--B\r\nContent-Disposition: form-data; name="file`, 400, /not valid multipart|file/],
  ['no parts', '--B--', 400, /file/],
]

test('bodies that are wrong are refused in words, and nothing stays behind', async context => {
  const { hub, folder } = await setUp(context)
  for (const [what, body, status, message] of WRONG) {
    const answer = await hub.post('/v1/files', body, { 'content-type': 'multipart/form-data; boundary=B' })
    assert.equal(answer.status, status, `${what}: ${answer.text}`)
    assert.match(answer.text, message, what)
  }
  const json = await hub.post('/v1/files', {})
  assert.equal(json.status, 415)
  const unbounded = await hub.post('/v1/files', 'x', { 'content-type': 'multipart/form-data' })
  assert.equal(unbounded.status, 400)
  assert.deepEqual(readdirSync(folder), [])
  assert.equal((await hub.get('/v1/files')).status, 200)
})

test('a client that goes away in the midst of an upload leaves nothing', async context => {
  const { hub, folder } = await setUp(context)
  const request = httpRequest(`${hub.url}/v1/files`, {
    method: 'POST',
    headers: { 'content-type': 'multipart/form-data; boundary=B', 'content-length': '100000' },
  })
  request.on('error', () => undefined)
  request.write(
    `${part('purpose', 'batch')}--B\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\nhalf`,
  )
  // The part is there once the door has begun to write it.
  while (!existsSync(folder) || readdirSync(folder).length === 0) await new Promise(resolve => setImmediate(resolve))
  request.destroy()
  while (readdirSync(folder).length > 0) await new Promise(resolve => setImmediate(resolve))
  assert.deepEqual((await hub.get('/v1/files')).json, {
    object: 'list',
    data: [],
    first_id: '',
    last_id: '',
    has_more: false,
  })
})

test('a name with folders is a name; what a crash left is tidied, what a person put there is not', async context => {
  const { hub, folder, deps } = await setUp(context)
  const answer = await hub.post(
    '/v1/files',
    `${part('purpose', 'batch')}${part('file', 'x', '../../etc/passwd')}--B--`,
    {
      'content-type': 'multipart/form-data; boundary=B',
    },
  )
  const stored = answer.json as { id: string; filename: string }
  assert.equal(stored.filename, 'passwd')
  const orphans = [`${'a'.repeat(24)}.part`, `file-${'b'.repeat(24)}`]
  for (const name of [...orphans, 'mine.jsonl']) writeFileSync(join(folder, name), 'x')
  tidyFiles(deps)
  assert.deepEqual(readdirSync(folder).sort(), [stored.id, 'mine.jsonl'].sort())
})
