/** The forward pass of every family against libllama in a process of its own: the numbers must be the served ones. */
import assert from 'node:assert/strict'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { openModel } from '../../server/trainer/model.ts'
import { type FamilyModel, randomRow, temporary, type WeightType, writeFamilyModel } from '../helpers/family_models.ts'
import { needsModels, testModels } from '../helpers/models.ts'
import { compareWithServed, probabilities, servedLogits } from '../helpers/served.ts'
import { openOptions } from '../helpers/trainer.ts'

const folder = temporary('parity')
after(() => rmSync(folder, { recursive: true, force: true }))

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
    const { difference } = await compareWithServed(path)
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
    const { divergence } = await compareWithServed(path)
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
  const { difference } = await compareWithServed(join(testModels()!, 'stories260K-F32.gguf'))
  assert.ok(difference <= 1e-5, `the largest difference is ${difference}`)
})
