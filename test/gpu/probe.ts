/** Prints the GPUs that a library variant opens, as JSON: `node test/gpu/probe.ts vulkan`. A process of its own, since a driver may end it. */
import { VARIANTS } from '../../server/native/bins.ts'
import { loadGgml } from '../../server/native/ggml.ts'
import { DEVICE_TYPE } from '../../server/native/structs.ts'

const variant = VARIANTS.find(each => each === process.argv[2])
if (variant === undefined) throw new Error(`name one of ${VARIANTS.join(', ')}`)
const gpus = loadGgml(variant)
  .devices()
  .filter(({ type }) => type === DEVICE_TYPE.gpu || type === DEVICE_TYPE.integrated)
console.log(JSON.stringify(gpus.map(({ name, description }) => ({ name, description }))))
