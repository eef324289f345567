/** Loads libggml for the trainer: checks the release, binds the functions and opens backends. */
import koffi, { type LibraryHandle } from 'koffi'
import { HubError } from '../lib/error.ts'
import { findBins, findFallback, howToInstall, libraryFile, type Variant } from './bins.ts'
import {
  BASE_PROTOTYPES,
  type BaseFunctions,
  type BoundOperations,
  OPERATION_PROTOTYPES,
  type Operations,
} from './ggml_api.ts'
import { DEVICE_TYPE, type Pointer } from './structs.ts'

/** The ggml of the releases that node-llama-cpp 3.21 and 3.22 carry. */
const PINNED = /^0\.(23|25)\.\d+/

export type GgmlDevice = { name: string; description: string; type: number; freeBytes: number; totalBytes: number }
export type Backend = { pointer: Pointer; device: GgmlDevice; bufferType: Pointer }

export type Ggml = BaseFunctions & {
  folder: string
  variant: Variant
  operations: BoundOperations
  /** A context for that many tensors and, when given, a graph of that many nodes; it holds no data. Freed by `free`. */
  context(tensors: number, graphNodes?: number): Pointer
  devices(): GgmlDevice[]
  /** @throws HubError not_found when there is no such device */
  openBackend(device: string | undefined, threads: number): Backend
  /** Computes the graph on a thread of its own. @throws HubError internal when the backend reports a failure */
  compute(backend: Backend, graph: Pointer): Promise<void>
  set(tensor: Pointer, data: ArrayBufferView, offset?: number): void
  get<T extends ArrayBufferView>(tensor: Pointer, into: T, offset?: number): T
}

let loaded: Ggml | undefined

/** @throws HubError not_found when the libraries of that variant are missing, internal when they are not a known release */
export function loadGgml(variant: Variant = 'cpu'): Ggml {
  if (loaded !== undefined) {
    if (loaded.variant !== variant)
      throw new HubError('internal', `this process has loaded the ${loaded.variant} libraries already`)
    return loaded
  }
  const folder = findBins(variant)
  if (folder === undefined) {
    throw new HubError(
      'not_found',
      `no prebuilt ${variant} libraries for ${process.platform} ${process.arch} are installed; ${howToInstall(variant)}, or set library to one that is there`,
      { param: 'library' },
    )
  }
  // Lowest first, each by its full path, so that Windows finds the others already in the process.
  const base = koffi.load(libraryFile(folder, 'ggml-base'))
  const registry = koffi.load(libraryFile(folder, 'ggml'))
  koffi.struct('ggml_init_params', { mem_size: 'size_t', mem_buffer: 'void *', no_alloc: 'bool' })
  const functions = bind(base, BASE_PROTOTYPES) as BaseFunctions
  const release = functions.version()
  if (!PINNED.test(release)) {
    throw new HubError(
      'internal',
      `libggml is release ${release}, which this binding does not know; install node-llama-cpp at the version of package.json`,
    )
  }
  // A harmless C function of no arguments swallows the log: a JS callback would be called from compute threads.
  base.func('void ggml_log_set(void*, void*)')(base.symbol('ggml_time_us'), null)
  registry.func('void ggml_backend_load_all_from_path(const char*)')(folder)
  const fallback = variant === 'cuda-ext' ? findFallback() : undefined
  if (fallback !== undefined) registry.func('void* ggml_backend_load(const char*)')(libraryFile(fallback, 'ggml-cuda'))

  const init = base.func('void* ggml_init(ggml_init_params)')
  const deviceCount = registry.func('size_t ggml_backend_dev_count()')
  const deviceGet = registry.func('void* ggml_backend_dev_get(size_t)')
  const deviceMemory = base.func('void ggml_backend_dev_memory(void*, _Out_ size_t*, _Out_ size_t*)')
  const setThreads = koffi.proto('void hub_set_n_threads(void* backend, int threads)')

  const pointers = (): Pointer[] => Array.from({ length: Number(deviceCount()) }, (_, i): Pointer => deviceGet(i))
  const describe = (device: Pointer): GgmlDevice => {
    const free = [0]
    const total = [0]
    deviceMemory(device, free, total)
    return {
      name: functions.backend_dev_name(device),
      description: functions.backend_dev_description(device),
      type: functions.backend_dev_type(device),
      freeBytes: Number(free[0]),
      totalBytes: Number(total[0]),
    }
  }
  loaded = {
    ...functions,
    folder,
    variant,
    operations: bind(base, OPERATION_PROTOTYPES) as BoundOperations,
    context(tensors, graphNodes) {
      const graph = graphNodes === undefined ? 0 : Number(functions.graph_overhead_custom(graphNodes, false))
      const bytes = Number(functions.tensor_overhead()) * (tensors + 1) + graph
      return init({ mem_size: bytes, mem_buffer: null, no_alloc: true })
    },
    devices: () => pointers().map(describe),
    openBackend(name, threads) {
      const all = pointers().map(pointer => ({ pointer, device: describe(pointer) }))
      const device = chooseDevice(
        all.map(each => each.device),
        name,
        variant,
      )
      const chosen = all.find(each => each.device === device)!
      const pointer = functions.backend_dev_init(chosen.pointer, null)
      if (pointer === null)
        throw new HubError('not_found', `the device ${device.name} (${device.description}) cannot be opened`)
      // Only the CPU backend has this function.
      const address = functions.backend_reg_get_proc_address(
        functions.backend_dev_backend_reg(chosen.pointer),
        'ggml_backend_set_n_threads',
      )
      if (address !== null) koffi.call(address, setThreads, pointer, threads)
      return { pointer, device, bufferType: functions.backend_get_default_buffer_type(pointer) }
    },
    compute(backend, graph) {
      return new Promise((resolve, reject) => {
        functions.backend_graph_compute.async(backend.pointer, graph, (error, status) => {
          if (error) reject(error)
          else if (status === 0) resolve()
          else reject(new HubError('internal', `${backend.device.name} failed to compute a graph (status ${status})`))
        })
      })
    },
    set: (tensor, data, offset = 0) => functions.backend_tensor_set(tensor, data, offset, data.byteLength),
    get(tensor, into, offset = 0) {
      functions.backend_tensor_get(tensor, into, offset, into.byteLength)
      return into
    },
  }
  return loaded
}

/** What a machine lacks when the library of a variant opens no GPU. */
const NEEDS: { [variant in Variant]: string } = {
  cpu: '',
  vulkan: 'a GPU with a Vulkan driver',
  cuda: 'an NVIDIA GPU with its driver and the CUDA 13 runtime (cudart and cublas)',
  'cuda-ext': 'an NVIDIA GPU with its driver and the CUDA 12 runtime (cudart and cublas)',
  metal: 'a GPU that supports Metal',
}

/**
 * The device of that name; without a name the CPU of the CPU's libraries, and the GPU of all others, which do not fall back.
 * @throws HubError not_found naming what there is, or what is missing
 */
export function chooseDevice(devices: readonly GgmlDevice[], name: string | undefined, variant: Variant): GgmlDevice {
  const { cpu, gpu, integrated } = DEVICE_TYPE
  const known = devices.map(device => device.name).join(', ')
  if (name !== undefined) {
    const device = devices.find(each => each.name === name)
    if (device === undefined)
      throw new HubError('not_found', `no device ${name} could be opened; there are: ${known}`, { param: 'device' })
    return device
  }
  const types: readonly number[] = variant === 'cpu' ? [cpu] : [gpu, integrated]
  const device = types.map(type => devices.find(each => each.type === type)).find(each => each !== undefined)
  if (device !== undefined) return device
  const fix = variant === 'cpu' ? '' : `; it needs ${NEEDS[variant]}. Install what is missing, or set library to cpu`
  throw new HubError(
    'not_found',
    `the ${variant} library finds ${variant === 'cpu' ? 'no CPU' : 'no GPU'} (it has ${known || 'no device'})${fix}`,
    { param: 'library' },
  )
}

/** Operations that take the context given and put their tensor into the graph at once, so that the order of nodes is the program's: memory is reused by it. */
export function emitter(ggml: Ggml, context: Pointer, graph: Pointer): Operations {
  const emit: { [name: string]: unknown } = {}
  for (const [name, operation] of Object.entries(ggml.operations)) {
    emit[name] = (...args: unknown[]) => {
      const tensor = (operation as (...all: unknown[]) => Pointer)(context, ...args)
      ggml.build_forward_expand(graph, tensor)
      return tensor
    }
  }
  return emit as Operations
}

function bind(library: LibraryHandle, prototypes: string): { [name: string]: unknown } {
  const functions: { [name: string]: unknown } = {}
  for (const prototype of prototypes.split(';')) {
    const name = /(\w+)\s*\(/.exec(prototype)?.[1]
    if (name === undefined) continue
    try {
      functions[name.replace(/^ggml_/, '')] = library.func(prototype.trim())
    } catch (cause) {
      throw new HubError('internal', `libggml has no ${name}; install node-llama-cpp at the version of package.json`, {
        cause,
      })
    }
  }
  return functions
}
