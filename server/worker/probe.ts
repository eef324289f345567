/** A program of one answer: do the native libraries of a variant load here, and which devices do they really open? */
import { HubError } from '../lib/error.ts'
import { loadNative } from '../native/llama.ts'
import type { LoadOptions } from '../wire/worker.ts'

const library = process.argv[2] as LoadOptions['library']
try {
  const native = loadNative(library)
  process.send?.({ type: 'report', version: native.version(), devices: native.devices() }, undefined, undefined, () =>
    process.exit(0),
  )
} catch (thrown) {
  process.send?.({ type: 'report', error: HubError.from(thrown).message }, undefined, undefined, () => process.exit(0))
}
