/** Loads libggml for the trainer: checks the release, binds the functions, opens backends and reads GGUF headers. */
import koffi, { type LibraryHandle } from 'koffi'
import { HubError } from '../lib/error.ts'
import { findBins, findFallback, libraryFile, type Variant } from './bins.ts'
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

/** Metadata values as numbers, texts, booleans and arrays of numbers; text arrays are given by their length only. */
export type GgufMetadata = { [key: string]: number | string | boolean | number[] | { texts: number } }
export type GgufTensor = {
  name: string
  type: number
  /** Four dimensions, the fastest first. */
  shape: [number, number, number, number]
  /** Bytes from the start of the file. */
  offset: number
  bytes: number
}

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
  /** @throws HubError invalid_request when the file is no GGUF or its header is broken */
  readHeader(path: string): { metadata: GgufMetadata; tensors: GgufTensor[] }
}

let loaded: Ggml | undefined

/** @throws HubError internal when the libraries of that variant are missing or are not a known release */
export function loadGgml(variant: Variant = 'cpu'): Ggml {
  if (loaded !== undefined) {
    if (loaded.variant !== variant)
      throw new HubError('internal', `this process has loaded the ${loaded.variant} libraries already`)
    return loaded
  }
  const folder = findBins(variant)
  if (folder === undefined) {
    throw new HubError(
      'internal',
      `no prebuilt ${variant} libraries for ${process.platform} ${process.arch} are installed; run "npm ci"`,
    )
  }
  // Lowest first, each by its full path, so that Windows finds the others already in the process.
  const base = koffi.load(libraryFile(folder, 'ggml-base'))
  const registry = koffi.load(libraryFile(folder, 'ggml'))
  koffi.struct('ggml_init_params', { mem_size: 'size_t', mem_buffer: 'void *', no_alloc: 'bool' })
  koffi.struct('gguf_init_params', { no_alloc: 'bool', ctx: 'void *' })
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
      const gpu = all.find(({ device }) => device.type === DEVICE_TYPE.gpu || device.type === DEVICE_TYPE.integrated)
      const cpu = all.find(({ device }) => device.type === DEVICE_TYPE.cpu)
      const chosen = name === undefined ? (gpu ?? cpu) : all.find(({ device }) => device.name === name)
      const pointer = chosen && functions.backend_dev_init(chosen.pointer, null)
      if (chosen === undefined || pointer === undefined || pointer === null) {
        const known = all.map(({ device }) => device.name).join(', ')
        throw new HubError('not_found', `no device ${name ?? 'of the CPU'} could be opened; there are: ${known}`)
      }
      // Only the CPU backend has this function.
      const address = functions.backend_reg_get_proc_address(
        functions.backend_dev_backend_reg(chosen.pointer),
        'ggml_backend_set_n_threads',
      )
      if (address !== null) koffi.call(address, setThreads, pointer, threads)
      return { pointer, device: chosen.device, bufferType: functions.backend_get_default_buffer_type(pointer) }
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
    readHeader(path) {
      const file = functions.gguf_init_from_file(path, { no_alloc: true, ctx: null })
      if (file === null)
        throw new HubError('invalid_request', `${path} is no GGUF file, or its header is broken; download it again`)
      try {
        return { metadata: readMetadata(functions, file), tensors: readTensors(functions, file) }
      } finally {
        functions.gguf_free(file)
      }
    },
  }
  return loaded
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

// enum gguf_type: the scalar types by their number, as koffi names them.
const SCALAR = [
  'uint8',
  'int8',
  'uint16',
  'int16',
  'uint32',
  'int32',
  'float',
  'bool',
  '',
  '',
  'uint64',
  'int64',
  'double',
]
const TEXT = 8
const ARRAY = 9

function readMetadata(functions: BaseFunctions, file: Pointer): GgufMetadata {
  const metadata: GgufMetadata = {}
  for (let i = 0; i < Number(functions.gguf_get_n_kv(file)); i++) {
    const key = functions.gguf_get_key(file, i)
    const type = functions.gguf_get_kv_type(file, i)
    if (type === TEXT) metadata[key] = functions.gguf_get_val_str(file, i)
    else if (type === ARRAY) {
      const length = Number(functions.gguf_get_arr_n(file, i))
      const of = SCALAR[functions.gguf_get_arr_type(file, i)]
      const data = of ? functions.gguf_get_arr_data(file, i) : null
      if (of && data !== null && length > 0)
        metadata[key] = Array.from(koffi.decode(data, koffi.array(of, length)) as ArrayLike<number | bigint>, Number)
      else metadata[key] = of ? [] : { texts: length }
    } else {
      const value = koffi.decode(functions.gguf_get_val_data(file, i), SCALAR[type] || 'uint8') as
        | number
        | bigint
        | boolean
      metadata[key] = typeof value === 'boolean' ? value : Number(value)
    }
  }
  return metadata
}

function readTensors(functions: BaseFunctions, file: Pointer): GgufTensor[] {
  const start = Number(functions.gguf_get_data_offset(file))
  return Array.from({ length: Number(functions.gguf_get_n_tensors(file)) }, (_, i): GgufTensor => {
    const [n0 = 1, n1 = 1, n2 = 1, n3 = 1] = Array.from(
      koffi.decode(functions.gguf_get_tensor_ne(file, i), koffi.array('int64', 4)) as ArrayLike<number | bigint>,
      Number,
    )
    return {
      name: functions.gguf_get_tensor_name(file, i),
      type: functions.gguf_get_tensor_type(file, i),
      shape: [n0, n1, n2, n3],
      offset: start + Number(functions.gguf_get_tensor_offset(file, i)),
      bytes: Number(functions.gguf_get_tensor_size(file, i)),
    }
  })
}
