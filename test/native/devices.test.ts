/** Which device a library computes on: the one that is named, else its GPU; it never falls back to the CPU unasked. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { HubError } from '../../server/lib/error.ts'
import { chooseDevice, type GgmlDevice } from '../../server/native/ggml.ts'
import { DEVICE_TYPE } from '../../server/native/structs.ts'

const device = (name: string, type: number): GgmlDevice => ({
  name,
  description: '',
  type,
  freeBytes: 0,
  totalBytes: 0,
})
const cpu = device('CPU', DEVICE_TYPE.cpu)
const integrated = device('Vulkan0', DEVICE_TYPE.integrated)
const gpu = device('Vulkan1', DEVICE_TYPE.gpu)
const refused = (code: string, words: RegExp) => (error: unknown) => {
  assert.ok(error instanceof HubError)
  assert.equal(error.code, code)
  assert.match(error.message, words)
  return true
}

test('the CPU library takes the CPU, the others their GPU, rather a card of its own than an integrated one', () => {
  assert.equal(chooseDevice([gpu, cpu], undefined, 'cpu'), cpu)
  assert.equal(chooseDevice([integrated, cpu], undefined, 'vulkan'), integrated)
  assert.equal(chooseDevice([integrated, gpu, cpu], undefined, 'vulkan'), gpu)
  assert.equal(chooseDevice([gpu, cpu], 'CPU', 'vulkan'), cpu)
})

test('a GPU library without a GPU is refused with what is missing', () => {
  assert.throws(
    () => chooseDevice([cpu], undefined, 'vulkan'),
    refused('not_found', /the vulkan library finds no GPU \(it has CPU\); it needs a GPU with a Vulkan driver/),
  )
  assert.throws(() => chooseDevice([cpu], undefined, 'cuda'), refused('not_found', /CUDA 13 runtime/))
  assert.throws(() => chooseDevice([cpu], undefined, 'cuda-ext'), refused('not_found', /CUDA 12 runtime/))
  assert.throws(
    () => chooseDevice([cpu], 'Vulkan7', 'vulkan'),
    refused('not_found', /no device Vulkan7.*there are: CPU/),
  )
})
