/** The CUDA libraries on request: which they are, and a fetch that ends with the right files in their place or with nothing there. */
import assert from 'node:assert/strict'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { HubError } from '../../server/lib/error.ts'
import {
  fetchPack,
  isPackInstalled,
  lockedPacks,
  nativeFolder,
  offerPack,
  type Pack,
  type PackProgress,
  packFacts,
} from '../../server/models/cuda_pack.ts'
import { integrityOf, makeArchive, type Registry, startRegistry } from '../helpers/npm_registry.ts'

const NAME = '@hub-test/some-cuda'
const LIBRARY = Buffer.alloc(200_000, 'cuda')
const ARCHIVE = makeArchive({
  'package.json': '{}',
  LICENSE: 'MIT',
  'dist/index.js': 'not needed',
  'bins/some-cuda/libggml-cuda.so': LIBRARY,
  'bins/some-cuda/llama-addon.node': 'not needed',
  'bins/some-cuda/libllama-common.so': 'not needed',
})
const PACK: Pack = { name: NAME, version: '3.21.1', integrity: integrityOf(ARCHIVE) }
const TARGET = ['@hub-test', 'some-cuda']

type Place = { folder: string; registry: Registry; get(pack?: Pack, signal?: AbortSignal): Promise<PackProgress[]> }

async function place(context: TestContext, archive: Buffer = ARCHIVE): Promise<Place> {
  const home = mkdtempSync(join(tmpdir(), 'cuda-pack-'))
  context.after(() => rmSync(home, { recursive: true, force: true }))
  const folder = join(home, 'native', '3.21.1')
  const registry = await startRegistry(context, { [`${NAME}@3.21.1`]: archive })
  return {
    folder,
    registry,
    async get(pack = PACK, signal = new AbortController().signal) {
      const deps = { fetch, registry: registry.url, signal }
      const seen: PackProgress[] = []
      await fetchPack(deps, await offerPack(deps, pack), folder, progress => void seen.push(progress))
      return seen
    },
  }
}

const failed = (code: string, words: RegExp) => (error: unknown) => {
  assert.ok(error instanceof HubError, String(error))
  assert.equal(error.code, code)
  assert.match(error.message, words)
  return true
}

test('the lock of this repository names both packages for Linux and Windows, and none elsewhere', () => {
  for (const platform of ['linux', 'win32'] as const) {
    const packs = packFacts(platform, 'x64')?.packs
    assert.match(packs?.cuda.name ?? '', platform === 'win32' ? /win-x64-cuda$/ : /linux-x64-cuda$/)
    assert.equal(packs?.['cuda-ext'].name, `${packs?.cuda.name}-ext`)
    assert.match(packs?.cuda.integrity ?? '', /^sha512-/)
  }
  assert.equal(packFacts('darwin', 'arm64'), undefined)
  assert.equal(packFacts('linux', 'arm64'), undefined)
  assert.equal(lockedPacks({ packages: {} }, 'linux'), undefined)
})

test('a packaged hub knows them from the file beside it, with where it was made', context => {
  const program = mkdtempSync(join(tmpdir(), 'cuda-facts-'))
  context.after(() => rmSync(program, { recursive: true, force: true }))
  assert.equal(packFacts('linux', 'x64', program), undefined)
  const facts = { packs: { cuda: PACK, 'cuda-ext': PACK }, registry: 'https://registry.example/' }
  writeFileSync(join(program, 'cuda_pack.json'), JSON.stringify(facts))
  assert.deepEqual(packFacts('linux', 'x64', program), facts)
  assert.equal(nativeFolder(join('a', 'home'), facts), join('a', 'home', 'native', '3.21.1'))
})

test('size and licence are known before the fetch, which leaves the libraries and their licence', async context => {
  const { folder, registry, get } = await place(context)
  const deps = { fetch, registry: registry.url, signal: new AbortController().signal }
  const { bytes, license } = await offerPack(deps, PACK)
  assert.deepEqual({ bytes, license }, { bytes: ARCHIVE.length, license: 'MIT' })
  assert.ok(!isPackInstalled(PACK, folder))
  const seen = await get()
  assert.ok(isPackInstalled(PACK, folder))
  const target = join(folder, ...TARGET)
  assert.deepEqual(readdirSync(target).sort(), ['LICENSE', 'bins', 'package.json'])
  assert.deepEqual(readdirSync(join(target, 'bins', 'some-cuda')), ['libggml-cuda.so'])
  assert.deepEqual(readFileSync(join(target, 'bins', 'some-cuda', 'libggml-cuda.so')), LIBRARY)
  assert.deepEqual([...new Set(seen.map(({ stage }) => stage))], ['fetch', 'check', 'unpack'])
  assert.deepEqual(readdirSync(join(folder, TARGET[0]!)), [TARGET[1]], 'nothing else is left there')
})

test('a fetch that broke off goes on where it was', async context => {
  const { registry, folder, get } = await place(context)
  let sent = 0
  const broken = new ReadableStream({
    pull(stream) {
      if (sent++ === 0) stream.enqueue(ARCHIVE.subarray(0, 300))
      else stream.error(new Error('the line went dead'))
    },
  })
  const deps = { fetch, registry: registry.url, signal: new AbortController().signal }
  const offer = await offerPack(deps, PACK)
  await assert.rejects(
    fetchPack({ ...deps, fetch: async () => new Response(broken) }, offer, folder, () => {}),
    failed('unusable_answer', /The connection to 127\.0\.0\.1:\d+ failed: the line went dead.*goes on where it was/),
  )
  assert.ok(!isPackInstalled(PACK, folder))
  await get()
  assert.ok(registry.asked.some(line => line.startsWith('GET /files/') && line.endsWith(' bytes=300-')))
  assert.ok(isPackInstalled(PACK, folder))
})

test('what is not what the lock says is thrown away', async context => {
  const { folder, get } = await place(context, makeArchive({ 'bins/some-cuda/libggml-cuda.so': 'evil' }))
  await assert.rejects(get(), failed('unusable_answer', /came otherwise than package-lock\.json says/))
  assert.deepEqual(readdirSync(join(folder, TARGET[0]!)), [])
})

test('an archive that cannot be unpacked leaves nothing in place', async context => {
  const broken = Buffer.from('no archive at all')
  const { folder, get } = await place(context, broken)
  await assert.rejects(
    get({ ...PACK, integrity: integrityOf(broken) }),
    failed('unusable_answer', /cannot be unpacked/),
  )
  assert.ok(!existsSync(join(folder, ...TARGET)))
  assert.ok(!existsSync(join(folder, `${TARGET.join('/')}.part`)))
})

test('a cancel ends it, and a full disk is told before anything is fetched', async context => {
  const { registry, folder, get } = await place(context)
  await assert.rejects(get(PACK, AbortSignal.abort()), failed('cancelled', /Stopped/))
  const deps = { fetch, registry: registry.url, signal: new AbortController().signal, freeBytes: async () => 1000 }
  const offer = await offerPack(deps, PACK)
  mkdirSync(folder, { recursive: true })
  registry.asked.length = 0
  await assert.rejects(
    fetchPack(deps, offer, folder, () => {}),
    failed('insufficient_storage', /For @hub-test\/some-cuda up to 1 MiB are needed and 1 MiB free.*Make room/),
  )
  assert.deepEqual(registry.asked, [])
})

test('a registry that does not have it, does not answer or is none is named', async context => {
  const { registry, get } = await place(context)
  await assert.rejects(
    get({ ...PACK, version: '9.9.9' }),
    failed('unusable_answer', /answers 404 for .*9\.9\.9.*--registry/),
  )
  const deps = { fetch, registry: 'http://127.0.0.1:1/', signal: new AbortController().signal }
  await assert.rejects(offerPack(deps, PACK), failed('unusable_answer', /The connection to 127\.0\.0\.1:1 failed/))
  const page = async (): Promise<Response> => new Response('<html>')
  await assert.rejects(
    offerPack({ ...deps, registry: registry.url, fetch: page }, PACK),
    failed('unusable_answer', /does not answer as a registry of npm does/),
  )
})
