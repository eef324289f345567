/** Writes the tiny models that the tests on a GPU compare: `node test/gpu/models.ts FOLDER`. A process of its own, since quantising takes the CPU's libraries. */
import { join } from 'node:path'
import { loadGgml } from '../../server/native/ggml.ts'
import { FAMILIES } from '../../server/trainer/families/all.ts'
import { readGguf } from '../../server/trainer/gguf_read.ts'
import { floatTensor, writeGguf } from '../../server/trainer/gguf_write.ts'
import { readAsF32 } from '../../server/trainer/weights.ts'
import { writeFamilyModel } from '../helpers/family_models.ts'
import { QUANTISED } from './types.ts'

const folder = process.argv[2]
if (folder === undefined) throw new Error('name the folder')
const ggml = loadGgml()
for (const { architecture } of FAMILIES) writeFamilyModel(join(folder, `${architecture}.gguf`), { architecture })
for (const type of QUANTISED) {
  const path = join(folder, `${type}.gguf`)
  writeFamilyModel(path, { architecture: 'llama', types: [type] })
  const tensors = []
  for (const tensor of readGguf(path).tensors) {
    const values = await readAsF32(ggml, path, tensor)
    tensors.push(floatTensor(tensor.name, tensor.shape, 'F32', () => values))
  }
  writeGguf(join(folder, `${type}-exact.gguf`), readGguf(path).metadata, tensors)
}
