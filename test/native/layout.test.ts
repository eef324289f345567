/** The binding against the very header of the installed release: fields in order, functions with as many arguments, enum values. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { HubError } from '../../server/lib/error.ts'
import { LLAMA_PROTOTYPES } from '../../server/native/api.ts'
import { checkRelease, loadNative } from '../../server/native/llama.ts'
import {
  BATCH,
  CONTEXT_PARAMS,
  FLASH_ATTENTION,
  LOAD_MODE,
  MODEL_PARAMS,
  POOLING,
} from '../../server/native/structs.ts'
import { releaseFiles } from '../helpers/source_bundle.ts'

const files = releaseFiles([
  'include/llama.h',
  'ggml/include/ggml.h',
  'ggml/include/ggml-cpu.h',
  'ggml/include/ggml-backend.h',
])
const needsHeader = files === undefined ? { skip: 'needs git and the source bundle of node-llama-cpp' } : {}
const header = (files?.get('include/llama.h') ?? '').replace(/\/\*[\s\S]*?\*\//g, '').replace(/\/\/.*$/gm, '')

/** [name, C type] of a struct's fields, in order. */
function fields(struct: string): [string, string][] {
  const body = new RegExp(`struct ${struct} \\{([^}]*)\\}`).exec(header)?.[1] ?? ''
  return body
    .split(';')
    .map(line => line.trim().replace(/\s+/g, ' '))
    .filter(line => line !== '')
    .map(line => {
      const name = /(\w+)$/.exec(line)![1]!
      return [name, line.slice(0, -name.length).trim()]
    })
}

function declared(type: string): string {
  if (/\*|callback|ggml_backend_dev_t/.test(type)) return 'void *'
  if (type.startsWith('enum')) return 'int32_t'
  return type.replace('unsigned int', 'uint32_t').replace(/^int$/, 'int32_t')
}

describe('the binding against its header', needsHeader, () => {
  for (const [struct, layout] of [
    ['llama_model_params', MODEL_PARAMS],
    ['llama_context_params', CONTEXT_PARAMS],
    ['llama_batch', BATCH],
  ] as const) {
    test(`${struct} has these fields in this order`, () => {
      assert.deepEqual(
        fields(struct).map(([name, type]) => [name, declared(type)]),
        Object.entries(layout),
      )
    })
  }

  test('every function is declared with as many arguments', () => {
    const flat = header.replace(/\s+/g, ' ')
    for (const prototype of LLAMA_PROTOTYPES.split(';')) {
      const [, name, args] = /(llama_\w+)\s*\(([^)]*)\)/.exec(prototype) ?? []
      const found = new RegExp(`LLAMA_API [^;(]*\\b${name}\\s*\\(([^)]*)\\)`).exec(flat)
      assert.ok(found !== null && name !== undefined && args !== undefined, `${name} is not in llama.h`)
      const count = (list: string) => (['', 'void'].includes(list.trim()) ? 0 : list.split(',').length)
      // A callback's own argument list would end the match early; the one function that has one is counted by its name.
      assert.equal(count(args), count(found[1]!), `${name}(${args}) against ${found[0]}`)
    }
  })

  test('enum values are those of the header', () => {
    const value = (name: string) => Number(new RegExp(`${name}\\s*=\\s*(-?\\d+)`).exec(header)?.[1])
    assert.deepEqual([value('LLAMA_LOAD_MODE_NONE'), value('LLAMA_LOAD_MODE_MMAP')], [LOAD_MODE.none, LOAD_MODE.mmap])
    assert.deepEqual(
      ['AUTO', 'DISABLED', 'ENABLED'].map(name => value(`LLAMA_FLASH_ATTN_TYPE_${name}`)),
      [FLASH_ATTENTION.auto, FLASH_ATTENTION.off, FLASH_ATTENTION.on],
    )
    assert.deepEqual(
      ['UNSPECIFIED', 'NONE', 'MEAN', 'CLS', 'LAST', 'RANK'].map(name => value(`LLAMA_POOLING_TYPE_${name}`)),
      Object.values(POOLING),
    )
    const ggml = files!.get('ggml/include/ggml.h')!
    assert.match(ggml, /#define GGML_MAX_N_THREADS\s+512/)
  })
})

test('the installed libraries load, and say what they are', () => {
  const native = loadNative('cpu')
  assert.match(native.version(), /^0\.[45]\.0/)
  assert.ok(native.devices().some(device => device.type === 0 && device.totalBytes > 0))
})

test('another release or a shifted struct is refused in words', () => {
  const native = loadNative('cpu')
  const good = {
    version: () => native.version(),
    model_default_params: () => native.model_default_params(),
    context_default_params: () => native.context_default_params(),
  }
  assert.doesNotThrow(() => checkRelease(good))
  assert.throws(
    () => checkRelease({ ...good, version: () => '9.9.9' }),
    (error: unknown) => error instanceof HubError && /release 9\.9\.9.*install node-llama-cpp/.test(error.message),
  )
  assert.throws(
    () =>
      checkRelease({
        ...good,
        context_default_params: () => ({ ...native.context_default_params(), n_batch: 512, n_ubatch: 1 }),
      }),
    /n_batch is 512 instead of 2048; n_ubatch is 1/,
  )
})
