/** Bases with scaled rotary positions, YaRN among them, against libllama in a process of its own. */
import assert from 'node:assert/strict'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { type FamilyModel, temporary, writeFamilyModel } from '../helpers/family_models.ts'
import { compareWithServed } from '../helpers/served.ts'

const folder = temporary('scaling')
after(() => rmSync(folder, { recursive: true, force: true }))

const all = ['llama', 'qwen2', 'qwen3', 'gemma3', 'phi3']
const cases: [NonNullable<FamilyModel['scaling']>, architectures: string[]][] = [
  [{ type: 'linear', factor: 4 }, all],
  [{ type: 'none', factor: 4 }, ['llama', 'phi3']],
  // Rows beyond the original context and within it.
  [{ type: 'yarn', factor: 4, originalContext: 16 }, all],
  [{ type: 'yarn', factor: 4, originalContext: 256, attentionFactor: 1.2 }, all],
  [{ type: 'yarn', factor: 1, originalContext: 512 }, ['llama', 'qwen3']],
]
for (const [i, [scaling, architectures]] of cases.entries()) {
  for (const architecture of architectures) {
    test(`${architecture} with rotary scaling ${JSON.stringify(scaling)} gives libllama's probabilities within 1e-5`, async () => {
      const path = join(folder, `${architecture}${i}.gguf`)
      writeFamilyModel(path, { architecture, scaling })
      const { difference } = await compareWithServed(path)
      assert.ok(difference <= 1e-5, `the largest difference is ${difference}`)
    })
  }
}
