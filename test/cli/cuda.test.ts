/** `ai-hub cuda`: what it says before it fetches, which packages it takes for which runtime, and what came of it. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseCommandLine, UsageError } from '../../server/cli/args.ts'
import { type CudaDeps, type CudaOptions, runCuda } from '../../server/cli/cuda.ts'

const pack = (name: string) => ({ name, version: '3.21.1', integrity: 'sha512-x' })
const FACTS = { packs: { cuda: pack('p-cuda'), 'cuda-ext': pack('p-cuda-ext') }, registry: 'https://packages.example/' }

type Said = { code: number; out: string; notes: string; fetched: string[]; from: string[] }

async function run(given: Partial<CudaDeps> = {}, options: Partial<CudaOptions> = {}): Promise<Said> {
  const said: Said = { code: 0, out: '', notes: '', fetched: [], from: [] }
  const write = (key: 'out' | 'notes') => ({
    colour: false,
    write: (text: string) => {
      said[key] += text
    },
  })
  const deps: CudaDeps = {
    terminal: write('out'),
    notes: write('notes'),
    facts: FACTS,
    folder: '/home/native/3.21.1',
    env: {},
    gpus: async () => [{ name: 'RTX 4060', vendor: 'nvidia' }],
    runtimes: async () => [13],
    isInstalled: () => false,
    offer: async (each, registry) => {
      said.from.push(registry)
      return { ...each, url: 'https://packages.example/x', bytes: 100 * 2 ** 20, license: 'MIT' }
    },
    fetch: async ({ name }, _registry, report) => {
      for (let done = 0; done <= 1000; done++) report({ stage: 'fetch', done, total: 1000 })
      said.fetched.push(name)
    },
    probe: async variant => ({ device: 'cuda', variant, works: true, name: 'RTX 4060' }),
    ask: async () => true,
    ...given,
  }
  said.code = await runCuda(deps, { yes: false, json: false, ...options })
  return said
}

test('size, licence and place are said before it asks, and a no fetches nothing', async () => {
  const { code, notes, fetched } = await run({ ask: async () => false })
  assert.equal(code, 1)
  assert.deepEqual(fetched, [])
  assert.match(notes, /from https:\/\/packages\.example\/\n {2}p-cuda 3\.21\.1 {2}100 MiB to fetch {2}licence MIT\n/)
  assert.match(notes, /into \/home\/native\/3\.21\.1/)
})

test('a yes fetches what is missing and tries it', async () => {
  const { code, out, fetched } = await run()
  assert.equal(code, 0)
  assert.deepEqual(fetched, ['p-cuda'])
  assert.match(out, /CUDA works: RTX 4060\. A hub that runs takes it when it is started again\./)
})

test('with the older runtime only, both packages are taken; a missing runtime and a missing card are said', async () => {
  assert.deepEqual((await run({ runtimes: async () => [12] })).fetched, ['p-cuda', 'p-cuda-ext'])
  assert.deepEqual((await run({ runtimes: async () => [12, 13] })).fetched, ['p-cuda'])
  assert.deepEqual((await run({}, { runtime: 12 })).fetched, ['p-cuda', 'p-cuda-ext'])
  const { notes } = await run({ runtimes: async () => [], gpus: async () => [] })
  assert.match(notes, /No NVIDIA card/)
  assert.match(notes, /need the CUDA 13 runtime of NVIDIA \(cudart, cublas\), which was not found/)
})

test('what is installed is not fetched again, and a failed try is told', async () => {
  const { code, out, fetched } = await run({
    isInstalled: () => true,
    probe: async () => ({ device: 'cuda', works: false, reason: 'libcudart.so.13 is missing' }),
  })
  assert.equal(code, 1)
  assert.deepEqual(fetched, [])
  assert.equal(out, 'Everything is installed. CUDA does not work here yet: libcudart.so.13 is missing\n')
})

test('the registry is the one that is named, else of the environment, else that of the package; without any it asks for one', async () => {
  const env = { npm_config_registry: 'https://env.example/' }
  assert.deepEqual((await run({ env }, { registry: 'https://named.example/' })).from, ['https://named.example/'])
  assert.deepEqual((await run({ env })).from, ['https://env.example/'])
  assert.deepEqual((await run()).from, ['https://packages.example/'])
  const { code, notes } = await run({ facts: { packs: FACTS.packs } })
  assert.equal(code, 1)
  assert.match(notes, /ai-hub cuda --registry URL/)
})

test('for programs: the plan alone, or a line for each step with at most one for each percent', async () => {
  const plan = await run({}, { json: true })
  assert.deepEqual(plan.fetched, [])
  assert.deepEqual(JSON.parse(plan.out), {
    type: 'plan',
    runtime: 13,
    runtimes: [13],
    gpu: 'RTX 4060',
    registry: 'https://packages.example/',
    folder: '/home/native/3.21.1',
    packs: [{ name: 'p-cuda', version: '3.21.1', bytes: 100 * 2 ** 20, license: 'MIT' }],
  })
  const lines = (await run({}, { json: true, yes: true })).out
    .trim()
    .split('\n')
    .map(line => JSON.parse(line))
  assert.deepEqual(lines.at(-1), { type: 'done', works: true, said: 'CUDA works: RTX 4060.' })
  assert.equal(lines.filter(({ type }) => type === 'progress').length, 101)
})

test('nobody to ask, and a platform without CUDA, are told', async () => {
  const silent = await run({ ask: undefined })
  assert.deepEqual([silent.code, silent.fetched], [1, []])
  assert.match(silent.notes, /Add --yes to fetch/)
  assert.match((await run({ facts: undefined, folder: undefined })).notes, /Linux and Windows on x64 only/)
})

test('the command line knows its options and refuses wrong values by name', () => {
  assert.deepEqual(parseCommandLine(['cuda', '--runtime', '12', '-y', '--registry', 'https://a.example']), {
    name: 'cuda',
    options: { runtime: 12, registry: 'https://a.example', yes: true, json: false },
  })
  for (const args of [
    ['--runtime', '11'],
    ['--registry', 'a.example'],
  ]) {
    assert.throws(() => parseCommandLine(['cuda', ...args]), UsageError, args.join(' '))
  }
})
