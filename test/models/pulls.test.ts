/** Downloads of models: whole, broken off and gone on with, refused and lied to; nothing partial is ever a model. */
import assert from 'node:assert/strict'
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { giveFile, hubFile, modelHub, refuse } from '../helpers/model_hub.ts'
import { modelBytes, pullPlace, splitModelBytes } from '../helpers/pulls.ts'

const MODEL = modelBytes()
const REPO = 'maker/tiny-GGUF'
const repo = (more: { [path: string]: Buffer } = { 'tiny-Q4_K_M.gguf': MODEL }) => ({
  [REPO]: Object.fromEntries(Object.entries(more).map(([path, bytes]) => [path, hubFile(bytes)])),
})

test('a model is fetched by the name of its repository, checked, and listed', async t => {
  const hub = await modelHub(
    t,
    repo({ 'README.md': Buffer.from('#'), 'tiny-Q8_0.gguf': MODEL, 'tiny-Q4_K_M.gguf': MODEL }),
  )
  const place = await pullPlace(t, { endpoint: hub.url })
  const done = await place.pull(`hf:${REPO}`)
  assert.equal(done.state, 'done', done.error)
  assert.equal(done.name, 'tiny-Q4_K_M')
  assert.equal(done.quant, 'Q4_K_M')
  assert.equal(done.folder, 'chat_models')
  assert.equal(done.bytes, MODEL.length)
  assert.equal(done.model, `${REPO}:Q4_K_M`)
  assert.deepEqual(place.files(), ['chat_models/tiny-Q4_K_M.gguf'])
  assert.deepEqual(readFileSync(join(place.root, 'chat_models', 'tiny-Q4_K_M.gguf')), MODEL)
  assert.deepEqual(
    place.registry.list().map(({ id, status }) => [id, status]),
    [['tiny-Q4_K_M', 'ok']],
  )
  assert.deepEqual([...new Set(place.told.map(({ state }) => state))], ['queued', 'running', 'checking', 'done'])

  // Asked for again it is there, and nothing of it is fetched.
  const before = hub.seen.length
  assert.equal((await place.create(REPO, { quant: 'q4_k_m' })).state, 'done')
  assert.deepEqual(
    hub.seen.slice(before).map(({ path }) => path),
    [`/api/models/${REPO}/tree/main`],
  )
})

test('a connection that breaks off is gone on with from where it broke, by the ETag where no checksum is known', async t => {
  const hub = await modelHub(t, repo({ 'tiny-Q4_K_M.gguf': MODEL, 'other.gguf': MODEL }))
  const place = await pullPlace(t, { endpoint: hub.url })
  const address = `${hub.url.replace('127.0.0.1', 'localhost')}/${REPO}/resolve/main/other.gguf`
  for (const model of [REPO, address]) {
    let cuts = 0
    const before = hub.seen.length
    hub.misbehave = (request, response, file) => {
      if (++cuts > 3) return false
      giveFile(request, response, file, { after: 1000, arrived: place.received(1000 * cuts) })
      return true
    }
    const done = await place.pull(model)
    assert.equal(done.state, 'done', done.error)
    const asked = hub.seen.slice(before).filter(({ path }) => path.includes('/resolve/'))
    assert.deepEqual(
      asked.map(({ range }) => range),
      [undefined, 'bytes=1000-', 'bytes=2000-', 'bytes=3000-'],
    )
    assert.deepEqual(
      asked.map(({ ifRange }) => ifRange?.startsWith('"') === true),
      [false, ...Array(3).fill(model === address)],
    )
  }
  // Every try brought something, so that none waited longer than the first.
  assert.deepEqual(
    place.waits.filter(ms => ms !== 10_000),
    Array(6).fill(1000),
  )
})

test('a server without ranges gives the whole again, and a file that changed is fetched anew', async t => {
  const hub = await modelHub(t, repo())
  let tries = 0
  const place = await pullPlace(t, { endpoint: hub.url })
  const cut = () => ({ after: 1000, arrived: place.received(1000) })
  hub.misbehave = (request, response, file) => {
    if (++tries === 1) giveFile(request, response, file, cut())
    else {
      delete request.headers.range
      giveFile(request, response, file)
    }
    return true
  }
  assert.equal((await place.pull(REPO)).state, 'done')

  const other = modelBytes({ seed: 2, layers: 3 })
  const files = repo({ 'other.gguf': MODEL })[REPO]!
  hub.repos = { [REPO]: files }
  tries = 0
  hub.misbehave = (request, response, file) => {
    if (++tries === 1) {
      giveFile(request, response, file, cut())
      files['other.gguf'] = hubFile(other)
    } else giveFile(request, response, file)
    return true
  }
  // By a host that is not the model hub's: nothing is known of the file beforehand.
  const done = await place.pull(`${hub.url.replace('127.0.0.1', 'localhost')}/${REPO}/resolve/main/other.gguf`)
  assert.equal(done.state, 'done', done.error)
  assert.deepEqual(readFileSync(join(place.root, 'chat_models', 'other.gguf')), other)
})

test('a wrong checksum deletes what came, once more from the start where it was pieced together', async t => {
  const hub = await modelHub(t, { [REPO]: { 'tiny-Q4_K_M.gguf': hubFile(MODEL, { sha256: 'a'.repeat(64) }) } })
  const place = await pullPlace(t, { endpoint: hub.url })
  const failed = await place.pull(REPO)
  assert.equal(failed.state, 'failed')
  assert.match(failed.error ?? '', /checksum/)
  assert.deepEqual(place.files(), [])
  assert.deepEqual(place.registry.list(), [])

  hub.repos = repo()
  const spoilt = Buffer.from(MODEL)
  spoilt.fill(7, 200, 900)
  let tries = 0
  hub.misbehave = (request, response, file) => {
    if (++tries !== 1) return false
    giveFile(request, response, { ...file, bytes: spoilt }, { after: 1000, arrived: place.received(1000) })
    return true
  }
  hub.repos[REPO]!['tiny-Q4_K_M.gguf'] = hubFile(MODEL, { etag: '"same"' })
  const done = await place.pull(REPO)
  assert.equal(done.state, 'done', done.error)
  assert.equal(hub.seen.filter(({ range }) => range !== undefined).length, 1)
})

test('what is no model is refused at its first bytes, and so is a page', async t => {
  const hub = await modelHub(t, repo({ 'a.gguf': Buffer.from('<html>sign in</html>'.repeat(500)) }))
  const place = await pullPlace(t, { endpoint: hub.url })
  assert.match((await place.pull(REPO)).error ?? '', /no GGUF file/)
  hub.misbehave = (_request, response, file) => {
    response
      .writeHead(200, { 'content-type': 'text/html; charset=utf-8', 'content-length': file.bytes.length })
      .end(file.bytes)
    return true
  }
  const failed = await place.pull(REPO)
  assert.match(failed.error ?? '', /sends a page \(text\/html\)/)
  assert.deepEqual(place.files(), [])
  // A header alone, cut off where the weights begin, is no model either.
  hub.misbehave = undefined
  hub.repos = repo({ 'cut.gguf': MODEL.subarray(0, MODEL.length - 5000) })
  assert.match((await place.pull(REPO)).error ?? '', /not whole/)
  assert.deepEqual(place.files(), [])
})

test('a server that lies about the length, or says none, is not believed', async t => {
  const hub = await modelHub(t, repo())
  const place = await pullPlace(t, { endpoint: hub.url })
  hub.misbehave = (_request, response, file) => {
    response
      .writeHead(200, { 'content-length': file.bytes.length + 10 })
      .end(Buffer.concat([file.bytes, Buffer.alloc(10)]))
    return true
  }
  assert.match((await place.pull(REPO)).error ?? '', /were announced/)

  // Endless: no length, and bytes for ever. The list said how many there are.
  hub.misbehave = async (_request, response) => {
    response.writeHead(200, { 'content-type': 'binary/octet-stream' })
    while (!response.destroyed) {
      response.write(MODEL)
      await new Promise(setImmediate)
    }
    return true
  }
  assert.match((await place.pull(REPO)).error ?? '', /more than it announced/)
  const foreign = (await modelHub(t, {})) as typeof hub
  foreign.answer = (_request, response) => {
    response.writeHead(200)
    response.write('GGUF')
    return true
  }
  assert.match((await place.pull(`${foreign.url}/endless.gguf`)).error ?? '', /does not say how large/)
  assert.deepEqual(place.files(), [])
})

test('a busy server is asked again after the time it names; a silent one is given up after its tries', async t => {
  const hub = await modelHub(t, repo())
  let tries = 0
  hub.misbehave = (_request, response) => {
    tries++
    if (tries > 2) return false
    response.setHeader('retry-after', tries === 1 ? '7' : '99999')
    refuse(response, tries === 1 ? 429 : 503)
    return true
  }
  const place = await pullPlace(t, { endpoint: hub.url })
  assert.equal((await place.pull(REPO)).state, 'done')
  assert.deepEqual(place.waits.slice(0, 2), [7000, 300_000])
  assert.match(place.told.find(({ note }) => note !== undefined)?.note ?? '', /asks to wait\. Trying again in 7 s/)

  hub.repos = repo({ 'silent.gguf': MODEL })
  hub.misbehave = () => new Promise(() => {})
  const impatient = await pullPlace(t, { endpoint: hub.url, silenceMs: 5 })
  const failed = await impatient.pull(REPO)
  assert.match(failed.error ?? '', /has sent nothing .* It was tried 8 times/)
  assert.deepEqual(impatient.waits, [1000, 2000, 4000, 8000, 16_000, 32_000, 60_000])
})

test('the token goes to the model hub and to no other server', async t => {
  const store = await modelHub(t, repo())
  const hub = await modelHub(t, repo())
  hub.misbehave = (request, response) => {
    response.writeHead(302, { location: `${store.url}${request.url}?signature=secret` }).end()
    return true
  }
  const place = await pullPlace(t, { endpoint: hub.url, token: 'hf_secret' })
  assert.equal((await place.pull(REPO)).state, 'done')
  assert.ok(hub.seen.every(({ authorization }) => authorization === 'Bearer hf_secret'))
  assert.equal(store.seen.length, 1)
  assert.equal(store.seen[0]?.authorization, undefined)
  // Round and round ends as well.
  hub.repos = repo({ 'b.gguf': MODEL })
  hub.misbehave = (request, response) => {
    response.writeHead(302, { location: request.url }).end()
    return true
  }
  assert.match((await place.pull(REPO)).error ?? '', /in a circle/)
})

test('a repository that is not there, is gated, or has no model is told apart', async t => {
  const hub = await modelHub(t, { 'maker/empty': { 'model.safetensors': hubFile(Buffer.from('x')) }, ...repo() })
  const place = await pullPlace(t, { endpoint: hub.url })
  await assert.rejects(place.create('maker/none'), { code: 'not_found', message: /no maker\/none.*HF_TOKEN/ })
  await assert.rejects(place.create('qwen3-4'), { code: 'invalid_request', message: /the nearest are qwen3-4b,/ })
  // A suggestion by its name, as this program and as others write it.
  for (const name of ['qwen3-4b', 'Qwen3:4B']) {
    await assert.rejects(place.create(name), { code: 'not_found', message: /no Qwen\/Qwen3-4B-GGUF/ })
  }
  await assert.rejects(place.create('maker/empty'), { code: 'not_found', message: /holds no GGUF/ })
  await assert.rejects(place.create(`${REPO}:Q9_X`), {
    code: 'not_found',
    message: /has no Q9_X\. There is Q4_K_M \(1 MB\)|has no Q9_X/,
  })
  hub.answer = (_request, response) => {
    refuse(response, 403, 'GatedRepo')
    return true
  }
  await assert.rejects(place.create(REPO), { code: 'forbidden', message: /start the hub with HF_TOKEN/ })
  const known = await pullPlace(t, { endpoint: hub.url, token: 'x' })
  await assert.rejects(known.create(REPO), { code: 'forbidden', message: /the token in HF_TOKEN gives no access/ })
  hub.answer = undefined
  hub.misbehave = (_request, response) => {
    refuse(response, 401, 'GatedRepo')
    return true
  }
  assert.match((await place.pull(REPO)).error ?? '', /HF_TOKEN/)
  const offline = await pullPlace(t, { endpoint: 'http://127.0.0.1:9' })
  await assert.rejects(offline.create(REPO), { code: 'download_failed' })
  assert.deepEqual(place.files(), [])
})

test('a split model is fetched whole, and is a model only with its last part', async t => {
  const parts = splitModelBytes(3)
  const names = parts.map((_, i) => `Q4_K_M/big-Q4_K_M-0000${i + 1}-of-00003.gguf`)
  const hub = await modelHub(t, repo(Object.fromEntries(names.map((name, i) => [name, parts[i]!]))))
  const gate = Promise.withResolvers<void>()
  const atLast = Promise.withResolvers<void>()
  hub.misbehave = async (request, response, file) => {
    if (!request.url?.includes('00003-of')) return false
    atLast.resolve()
    await gate.promise
    giveFile(request, response, file)
    return true
  }
  const place = await pullPlace(t, { endpoint: hub.url })
  const { id, files } = await place.create(`${REPO}:q4_k_m`)
  assert.equal(files, 3)
  await atLast.promise
  assert.deepEqual(place.registry.list(), [])
  assert.ok(
    place.files().every(name => /\.part$|\.pull\.json$/.test(name)),
    String(place.files()),
  )
  gate.resolve()
  const done = await place.ended(id)
  assert.equal(done.state, 'done', done.error)
  assert.equal(done.name, 'big-Q4_K_M')
  assert.deepEqual(
    place.registry.list().map(({ id, status, files }) => [id, status, files.length]),
    [['big-Q4_K_M', 'ok', 3]],
  )
})

test('a cancelled download keeps its part, another hub goes on with it when asked, and discarding takes all away', async t => {
  const hub = await modelHub(t, repo())
  hub.misbehave = async (request, response, file) => {
    if (request.headers.range !== undefined) return false
    response.writeHead(200, { 'content-length': file.bytes.length, etag: '"e"' })
    response.write(file.bytes.subarray(0, 5000))
    return true
  }
  hub.repos[REPO]!['tiny-Q4_K_M.gguf'] = hubFile(MODEL, { etag: '"e"' })
  const place = await pullPlace(t, { endpoint: hub.url })
  const { id } = await place.create(REPO)
  assert.equal((await place.create(REPO)).id, id)
  await place.received(5000)
  const cancelled = await place.pulls.cancel(id, false)
  assert.equal(cancelled.state, 'cancelled')
  assert.equal(cancelled.bytes, 5000)
  assert.equal(statSync(join(place.root, 'chat_models', 'tiny-Q4_K_M.gguf.part')).size, 5000)

  await place.restart()
  assert.deepEqual(
    place.pulls.list().map(({ id, state }) => [id, state]),
    [[id, 'cancelled']],
  )
  const done = await place.pull(cancelled.model)
  assert.equal(done.state, 'done', done.error)
  assert.equal(hub.seen.at(-1)?.range, 'bytes=5000-')
  assert.deepEqual(place.files(), ['chat_models/tiny-Q4_K_M.gguf'])

  hub.repos = { [REPO]: { 'b.gguf': hubFile(MODEL) } }
  const second = await place.create(REPO)
  await place.received(5000)
  assert.equal((await place.pulls.cancel(second.id, true)).bytes, 0)
  assert.deepEqual(place.files(), ['chat_models/tiny-Q4_K_M.gguf'])
  assert.throws(() => place.pulls.get(second.id), { code: 'not_found' })
})

test('a hub that ends goes on with what was asked for at its next start', async t => {
  const hub = await modelHub(t, repo())
  let isOpen = false
  hub.misbehave = (_request, response, file) => {
    if (isOpen) return false
    response.writeHead(200, { 'content-length': file.bytes.length, etag: '"e"' })
    response.write(file.bytes.subarray(0, 3000))
    return true
  }
  hub.repos[REPO]!['tiny-Q4_K_M.gguf'] = hubFile(MODEL, { etag: '"e"' })
  const place = await pullPlace(t, { endpoint: hub.url })
  const { id } = await place.create(REPO)
  await place.received(3000)
  isOpen = true
  const done = place.until(pull => pull.state === 'done')
  await place.restart()
  assert.equal((await done).id, id)
  assert.equal(hub.seen.at(-1)?.range, 'bytes=3000-')
  assert.deepEqual(readFileSync(join(place.root, 'chat_models', 'tiny-Q4_K_M.gguf')), MODEL)
})

test('two run at once and the others wait; one that waits can be cancelled', async t => {
  const names = ['a', 'b', 'c', 'd']
  const hub = await modelHub(
    t,
    Object.fromEntries(names.map(name => [`maker/${name}`, { [`${name}.gguf`]: hubFile(MODEL) }])),
  )
  const gate = Promise.withResolvers<void>()
  hub.misbehave = async (request, response, file) => {
    await gate.promise
    giveFile(request, response, file)
    return true
  }
  const place = await pullPlace(t, { endpoint: hub.url })
  const ids = []
  for (const name of names) ids.push((await place.create(`maker/${name}`)).id)
  assert.deepEqual(
    place.pulls
      .list()
      .map(({ state }) => state)
      .reverse(),
    ['running', 'running', 'queued', 'queued'],
  )
  assert.equal((await place.pulls.cancel(ids[2]!, false)).state, 'cancelled')
  gate.resolve()
  assert.deepEqual(await Promise.all([ids[0]!, ids[1]!, ids[3]!].map(async id => (await place.ended(id)).state)), [
    'done',
    'done',
    'done',
  ])
  assert.equal(existsSync(join(place.root, 'chat_models', 'c.gguf')), false)
})

test('two who ask for the same at once get one download, and two who discard it take away no other', async t => {
  const hub = await modelHub(t, { ...repo(), 'maker/other': { 'other.gguf': hubFile(MODEL) } })
  hub.misbehave = (_request, response, file) => {
    response.writeHead(200, { 'content-length': file.bytes.length, etag: '"e"' })
    response.write(file.bytes.subarray(0, 3000))
    return true
  }
  const place = await pullPlace(t, { endpoint: hub.url })
  const ids = () => place.pulls.list().map(({ id }) => id)
  const [first, second] = await Promise.all([place.create(REPO), place.create(REPO)])
  assert.equal(first.id, second.id)
  const other = await place.create('maker/other')
  assert.deepEqual(ids(), [other.id, first.id])
  const discard = () => place.pulls.cancel(first.id, true)
  const ends = await Promise.allSettled([discard(), discard()])
  assert.deepEqual(
    ends.map(({ status }) => status),
    ['fulfilled', 'rejected'],
  )
  assert.deepEqual(ids(), [other.id])
})

test('a full disk is said before anything is fetched, counting what others still need', async t => {
  const hub = await modelHub(t, repo())
  const place = await pullPlace(t, { endpoint: hub.url, freeDisk: async () => MODEL.length + 1000 })
  await assert.rejects(place.create(REPO), { code: 'insufficient_storage', message: /Make room/ })
  assert.deepEqual(place.files(), [])
  assert.ok(hub.seen.every(({ path }) => !path.includes('/resolve/')))
})

test('a disk that fills up meanwhile ends the download with what to do', async t => {
  const hub = await modelHub(t, repo())
  let looks = 0
  const place = await pullPlace(t, { endpoint: hub.url, freeDisk: async () => (++looks === 1 ? 1e12 : 0) })
  const failed = await place.pull(REPO)
  assert.match(failed.error ?? '', /tiny-Q4_K_M\.gguf needs 1 MB more .* Make room there and ask for it again/)
  assert.deepEqual(
    place.pulls.list().map(({ state }) => state),
    ['failed'],
  )
})

test('names from a server stay in the folder, whatever they are', async t => {
  const hub = await modelHub(t, {
    [REPO]: { '../../../evil.gguf': hubFile(MODEL), 'a/../b.gguf': hubFile(MODEL), 'sub/CON.gguf': hubFile(MODEL) },
  })
  const place = await pullPlace(t, { endpoint: hub.url })
  const done = await place.pull(REPO)
  assert.equal(done.state, 'done', done.error)
  assert.deepEqual(place.files(), ['chat_models/_CON.gguf'])
  assert.ok(hub.seen.every(({ path }) => !path.includes('evil')))
  const away = await place.pull(`${hub.url.replace('127.0.0.1', 'localhost')}/${REPO}/resolve/main/sub%2FCON.gguf`)
  assert.equal(away.state, 'done', away.error)
  assert.equal(place.files().length, 1)
})

test('a hub that was killed between putting a model in place and forgetting the download only forgets it', async t => {
  const hub = await modelHub(t, repo())
  let record = ''
  const path = (root: string) => join(root, 'chat_models', 'tiny-Q4_K_M.gguf.pull.json')
  hub.misbehave = () => {
    record = readFileSync(path(place.root), 'utf8')
    return false
  }
  const place = await pullPlace(t, { endpoint: hub.url })
  assert.equal((await place.pull(REPO)).state, 'done')
  assert.ok(record.includes('"sha256"'))
  writeFileSync(path(place.root), record)
  // What is not a record, or is that of another file, is left alone.
  writeFileSync(join(place.root, 'chat_models', 'x.gguf.pull.json'), record)
  writeFileSync(join(place.root, 'chat_models', 'y.gguf.pull.json'), '{')
  const before = hub.seen.length
  await place.restart()
  assert.deepEqual(place.pulls.list(), [])
  assert.equal(hub.seen.length, before)
  assert.deepEqual(place.files(), [
    'chat_models/tiny-Q4_K_M.gguf',
    'chat_models/x.gguf.pull.json',
    'chat_models/y.gguf.pull.json',
  ])
})

test('a file of that name that is another one is left alone', async t => {
  const hub = await modelHub(t, repo())
  const place = await pullPlace(t, { endpoint: hub.url })
  writeFileSync(join(place.root, 'chat_models', 'tiny-Q4_K_M.gguf'), 'mine')
  await assert.rejects(place.create(REPO), { code: 'conflict', message: /another tiny-Q4_K_M\.gguf in chat_models/ })
  assert.equal((await place.pull(REPO, { folder: 'custom_models' })).state, 'done')
  assert.equal(readFileSync(join(place.root, 'chat_models', 'tiny-Q4_K_M.gguf'), 'utf8'), 'mine')
})

test('what the file says of itself decides the folder where the name does not', async t => {
  const embed = modelBytes({ pooling: 'mean', isBare: true })
  const base = modelBytes({ fim: true, seed: 3, isBare: true })
  const chat = modelBytes({ fim: true, seed: 4 })
  const hub = await modelHub(t, {
    'm/vectors': { 'vectors.gguf': hubFile(embed) },
    'm/base': { 'base.gguf': hubFile(base) },
    'm/chat': { 'chat.gguf': hubFile(chat) },
    'm/some-coder': { 'some-coder.gguf': hubFile(chat) },
  })
  const place = await pullPlace(t, { endpoint: hub.url })
  assert.equal((await place.pull('m/vectors')).folder, 'custom_models')
  assert.equal((await place.pull('m/base')).folder, 'code_models')
  assert.equal((await place.pull('m/chat')).folder, 'chat_models')
  assert.equal((await place.pull('m/some-coder')).folder, 'code_models')
})

test('a dry run says files, sizes, memory and disk, and fetches nothing', async t => {
  const hub = await modelHub(t, repo({ 'tiny-Q4_K_M.gguf': MODEL, 'tiny-F16.gguf': MODEL }))
  const place = await pullPlace(t, { endpoint: hub.url })
  const plan = await place.pulls.plan({ model: REPO, dry_run: true }, new AbortController().signal)
  assert.equal(plan.quant, 'Q4_K_M')
  assert.deepEqual(
    plan.files.map(({ name, bytes }) => [name, bytes]),
    [['tiny-Q4_K_M.gguf', MODEL.length]],
  )
  assert.equal(plan.fits_disk, true)
  assert.equal(plan.memory?.fit, 'memory')
  assert.deepEqual(
    plan.choices.map(({ quant }) => quant),
    ['Q4_K_M', 'F16'],
  )
  assert.ok(hub.seen.every(({ path }) => !path.includes('/resolve/')))
  assert.deepEqual(place.files(), [])
  assert.deepEqual(place.pulls.list(), [])
})
