/** The table of models: from the hub when one runs, else from the folders; sizes that can be read. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type ModelRow, printModels, rowOfFile } from '../../server/cli/models.ts'
import { formatBytes, formatTable } from '../../server/cli/terminal.ts'

const rows: ModelRow[] = [
  {
    id: 'qwen2.5-7b-instruct-q4_k_m',
    folder: 'chat_models',
    bytes: 4.4 * 2 ** 30,
    parameters: 7.6e9,
    quantization: 'Q4_K_M',
    contextLength: 32768,
    state: 'ready',
  },
  { id: 'half', folder: 'code_models', bytes: 12, state: 'broken', reason: 'is not whole: 12 of 90 bytes' },
]

async function print(hub: ModelRow[] | undefined, folders: ModelRow[], json = false): Promise<string> {
  let text = ''
  const write = (piece: string): void => {
    text += piece
  }
  const deps = {
    home: '/h',
    terminal: { write, colour: false },
    fromHub: async () => hub,
    fromFolders: async () => folders,
  }
  assert.equal(await printModels(deps, { json }), 0)
  return text
}

test('the table, with the reason under a broken model', async () => {
  const lines = (await print(rows, [])).trimEnd().split('\n')
  assert.match(lines[0] ?? '', /^model +folder +size +parameters +quantisation +context +state$/)
  assert.match(lines[1] ?? '', /^qwen2\.5-7b-instruct-q4_k_m +chat_models +4\.4 GiB +7\.6B +Q4_K_M +32768 +ready$/)
  assert.match(lines[2] ?? '', /^half +code_models +12 B +- +- +- +broken$/)
  assert.equal(lines[3], '  -> is not whole: 12 of 90 bytes')
})

test('without a hub the folders are read; without models it says where to put one', async () => {
  assert.match(await print(undefined, rows), /half/)
  assert.match(await print(undefined, []), /\/h\/local_models/)
  assert.deepEqual(JSON.parse(await print(undefined, rows, true)), rows)
})

test('a row of a file', () => {
  const file = { files: [], bytes: 5, modified_ms: 0, sidecar: {}, folder: 'chat_models', id: 'x' } as const
  const broken = rowOfFile({ ...file, files: [], status: 'broken', reason: 'no GGUF' })
  assert.deepEqual(broken, { id: 'x', folder: 'chat_models', bytes: 5, state: 'broken', reason: 'no GGUF' })
})

test('sizes and columns', () => {
  assert.deepEqual([0, 1023, 1024, 150 * 1024, 1.5 * 2 ** 40].map(formatBytes), [
    '0 B',
    '1023 B',
    '1.0 KiB',
    '150 KiB',
    '1.5 TiB',
  ])
  assert.deepEqual(
    formatTable(
      [
        ['a', 'bb'],
        ['ccc', 'd'],
      ],
      [1],
    ),
    ['a    bb', 'ccc   d'],
  )
})
