/** Weights that are not finite are found wherever they stand, in every type, also in rows that no token of the data would touch. */
import assert from 'node:assert/strict'
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { loadGgml } from '../../server/native/ggml.ts'
import { brokenBlock } from '../../server/trainer/finite.ts'
import { readGguf, TRAINED_TYPES } from '../../server/trainer/gguf_read.ts'
import { openModel } from '../../server/trainer/model.ts'
import { temporary, type WeightType, writeFamilyModel } from '../helpers/family_models.ts'
import { openOptions } from '../helpers/trainer.ts'

const folder = temporary('finite')
after(() => rmSync(folder, { recursive: true, force: true }))

for (const [type, [name, block, blockBytes]] of TRAINED_TYPES) {
  test(`${name}: the first block that is not finite is found by what the library makes of it`, () => {
    const ggml = loadGgml()
    const rows = 5
    const values = Float32Array.from({ length: 256 * rows }, (_, i) => Math.sin(i) * 10 ** ((i % 7) - 3))
    const bytes = new Uint8Array(Number(ggml.row_size(type, 256)) * rows)
    ggml.quantize_chunk(type, values, bytes, 0, rows, 256, null)
    assert.equal(brokenBlock(type, bytes), undefined)
    // Quantising a value that is not finite spoils the scales of its block alone; the library may refuse, so they are put in by hand.
    const blocks = bytes.length / blockBytes
    for (const at of [0, Math.floor(blocks / 2), blocks - 1]) {
      const spoiled = bytes.slice()
      const scale = name === 'Q6_K' ? 208 : 0
      const words = new Uint16Array(spoiled.buffer)
      const infinite = name === 'F32' || name === 'BF16' ? 0x7f80 : 0x7c00
      words[(at * blockBytes + scale) / 2 + (name === 'F32' ? 1 : 0)] = infinite | (at % 2 === 0 ? 0x8000 : 1)
      assert.equal(brokenBlock(type, spoiled), at, `${block} elements a block`)
    }
  })
}

test('a base with such a weight anywhere is refused by the tensor and the place', async () => {
  for (const type of ['F32', 'BF16', 'Q8_0', 'Q4_K'] as WeightType[]) {
    const path = join(folder, `${type}.gguf`)
    writeFamilyModel(path, { architecture: 'llama', types: [type] })
    const file = readFileSync(path)
    const embedding = readGguf(path).tensors.find(({ name }) => name === 'token_embd.weight')!
    const [, block, blockBytes] = TRAINED_TYPES.get(embedding.type)!
    // In the last row of the embedding.
    const place = embedding.offset + embedding.bytes - blockBytes
    file.writeUInt16LE(type === 'BF16' || type === 'F32' ? 0x7fc0 : 0x7e00, place + (type === 'F32' ? 2 : 0))
    writeFileSync(path, file)
    const elements = (embedding.bytes / blockBytes) * block
    const words = new RegExp(`token_embd.weight holds values that are not finite \\(from number ${elements - block} on`)
    await assert.rejects(openModel(openOptions(path)), words)
    await assert.rejects(openModel(openOptions(path, { mode: { type: 'full', randomStart: false } })), words)
  }
})
