/** A toy model is named as one wherever models are listed, with the way to a real model; a real model beside it ends the talk. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type DoctorDeps, examine } from '../../server/cli/doctor.ts'
import { type ModelRow, printModels, rowOfFile } from '../../server/cli/models.ts'
import { toyHint } from '../../server/cli/toy.ts'
import type { ModelFile } from '../../server/wire/model.ts'

const FILE = { files: [], bytes: 5, modified_ms: 0, folder: 'code_models', status: 'ok' } satisfies Partial<ModelFile>

async function print(rows: ModelRow[]): Promise<string> {
  let text = ''
  const terminal = {
    colour: false,
    write(piece: string): void {
      text += piece
    },
  }
  await printModels(
    { home: '/h', terminal, fromHub: async () => undefined, fromFolders: async () => rows },
    { json: false },
  )
  return text
}

test('the hint says what it is and gives a command and the folder', () => {
  assert.match(toyHint('/h'), /^a toy; here is how to get a real model: "ai-hub pull" .* into \S+chat_models$/)
})

test('the card decides, not the name', async () => {
  const toy = rowOfFile({ ...FILE, id: 'anything', sidecar: { toy: true } })
  const real = rowOfFile({ ...FILE, id: 'starter', sidecar: {} })
  assert.equal(toy.toy, true)
  assert.equal(real.toy, undefined)
  const text = await print([toy, real])
  assert.equal(text.match(/a toy; here is how/g)?.length, 1)
  assert.match(text, /-> anything: a toy/)
})

test('doctor: a warning with the way out while there is nothing else, silence beside a real model', async () => {
  const toy: ModelFile = { ...FILE, id: 'starter', sidecar: { toy: true } }
  const real: ModelFile = { ...FILE, id: 'real', sidecar: {} }
  const found = async (listed: ModelFile[]) => {
    // Of what else is looked at nothing is asked here: a check without its dependency fails by itself.
    const deps = { home: '/h', platform: 'linux', nodeVersion: 'v24.0.0', listModels: async () => listed }
    const checks = await examine({
      ...deps,
      findHub: async () => undefined,
      gpus: async () => [],
    } as unknown as DoctorDeps)
    return checks.filter(check => check.fix?.includes('a toy') === true)
  }
  assert.deepEqual(
    (await found([toy])).map(({ name, state }) => [name, state]),
    [['model', 'warn']],
  )
  assert.deepEqual(await found([toy, real]), [])
})
