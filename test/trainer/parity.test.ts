/** The forward pass of every family against libllama in a process of its own: the numbers must be the served ones. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { openModel } from '../../server/trainer/model.ts'
import { type FamilyModel, randomRow, temporary, type WeightType, writeFamilyModel } from '../helpers/family_models.ts'
import { needsModels, testModels } from '../helpers/models.ts'
import { openOptions } from '../helpers/trainer.ts'

const folder = temporary('parity')
after(() => rmSync(folder, { recursive: true, force: true }))

function servedLogits(path: string, tokens: Int32Array): Float32Array {
  const child = spawnSync(
    process.execPath,
    [join(import.meta.dirname, '../helpers/llama_logits.ts'), path, JSON.stringify([...tokens])],
    { maxBuffer: 2 ** 26 },
  )
  assert.equal(child.status, 0, child.stderr.toString())
  return new Float32Array(
    child.stdout.buffer.slice(child.stdout.byteOffset, child.stdout.byteOffset + child.stdout.length),
  )
}

/** Probabilities of each row, in double precision. */
function probabilities(logits: Float32Array, vocabulary: number): Float64Array[] {
  return Array.from({ length: logits.length / vocabulary }, (_, row) => {
    const part = Float64Array.from(logits.subarray(row * vocabulary, (row + 1) * vocabulary))
    const top = part.reduce((a, b) => Math.max(a, b))
    const powers = part.map(logit => Math.exp(logit - top))
    const sum = powers.reduce((a, b) => a + b)
    return powers.map(power => power / sum)
  })
}

async function compare(path: string): Promise<{ difference: number; divergence: number }> {
  const model = await openModel(openOptions(path))
  try {
    const row = randomRow([Math.min(40, model.contextLength)], model.vocabularySize, 3)
    const ours = probabilities(await model.logits(row), model.vocabularySize)
    const served = probabilities(servedLogits(path, row.tokens), model.vocabularySize)
    assert.equal(ours.length, served.length)
    let difference = 0
    let divergence = 0
    served.forEach((p, i) => {
      p.forEach((chance, token) => {
        const own = ours[i]![token]!
        difference = Math.max(difference, Math.abs(chance - own))
        divergence += (chance * Math.log(chance / own)) / served.length
      })
    })
    return { difference, divergence }
  } finally {
    model.free()
  }
}

const families: FamilyModel[] = [
  { architecture: 'llama' },
  { architecture: 'mistral3' },
  { architecture: 'qwen2' },
  { architecture: 'qwen3' },
  { architecture: 'gemma2' },
  { architecture: 'gemma3' },
  { architecture: 'phi3' },
]
for (const family of families) {
  test(`${family.architecture} in F32 gives libllama's probabilities within 1e-5`, async () => {
    const path = join(folder, `${family.architecture}.gguf`)
    writeFamilyModel(path, family)
    const { difference } = await compare(path)
    assert.ok(difference <= 1e-5, `the largest difference is ${difference}`)
  })
}

const mixes: WeightType[][] = [
  ['F16'],
  ['BF16'],
  ['Q8_0'],
  ['Q4_0'],
  ['Q4_K'],
  ['Q5_K'],
  ['Q6_K'],
  ['Q4_K', 'Q6_K', 'Q8_0', 'Q5_K'],
]
for (const types of mixes) {
  test(`${types.join(', ')} gives libllama's probabilities within a divergence of 1e-3`, async () => {
    const path = join(folder, `${types.join('-')}.gguf`)
    writeFamilyModel(path, { architecture: 'llama', types })
    const { divergence } = await compare(path)
    assert.ok(Math.abs(divergence) <= 1e-3, `the mean divergence is ${divergence}`)
  })
}

// libllama has no architecture mistral: its files say llama, which leaves the window out.
test('mistral is llama within its window, and another model beyond it', async () => {
  const paths = ['mistral', 'llama'].map(name => join(folder, `window-${name}.gguf`))
  const [own, plain] = paths as [string, string]
  writeFamilyModel(own, { architecture: 'mistral' })
  writeFamilyModel(plain, { architecture: 'mistral', writtenAs: 'llama' })
  const model = await openModel(openOptions(own))
  try {
    const row = randomRow([20], model.vocabularySize, 3)
    const ours = probabilities(await model.logits(row), model.vocabularySize)
    const served = probabilities(servedLogits(plain, row.tokens), model.vocabularySize)
    const differences = served.map((p, i) => Math.max(...p.map((chance, token) => Math.abs(chance - ours[i]![token]!))))
    assert.ok(Math.max(...differences.slice(0, 12)) <= 1e-5)
    assert.ok(Math.min(...differences.slice(12)) > 1e-4)
  } finally {
    model.free()
  }
})

test('a real trained model gives libllama’s probabilities', needsModels, async () => {
  const { difference } = await compare(join(testModels()!, 'stories260K-F32.gguf'))
  assert.ok(difference <= 1e-5, `the largest difference is ${difference}`)
})
