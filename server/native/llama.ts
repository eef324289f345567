/** Loads the native libraries once per process, checks that they are the ones this binding was written for, and hands out their functions. */
import koffi from 'koffi'
import { HubError } from '../lib/error.ts'
import { LLAMA_PROTOTYPES, type LlamaFunctions } from './api.ts'
import { findBins, findFallback, howToInstall, libraryFile, type Variant } from './bins.ts'
import {
  BATCH,
  CONTEXT_DEFAULTS,
  CONTEXT_PARAMS,
  MODEL_DEFAULTS,
  MODEL_PARAMS,
  type Pointer,
  SAMPLER_CHAIN_PARAMS,
  type ThreadpoolParams,
} from './structs.ts'

/** Releases whose llama.h was read for structs.ts. */
const PINNED = /^v?0\.(4|5)\.0\b/

export type NativeDevice = { name: string; description: string; type: number; freeBytes: number; totalBytes: number }

/** A persistent CPU thread pool. Without one ggml makes its threads anew in every decode, which costs 9 to 12 ms each time. */
export type Threadpool = { pointer: Pointer; free(): void }

export type Native = LlamaFunctions & {
  folder: string
  variant: Variant
  /** Bytes of C memory as an ArrayBuffer without a copy; valid as long as the memory is. */
  view(pointer: Pointer, bytes: number): ArrayBuffer
  alloc(bytes: number): Pointer
  release(pointer: Pointer): void
  devices(): NativeDevice[]
  threadpool(threads: number, poll: number): Threadpool
  /** Native log lines of level warning and above go to `line` until `silence` is called; only while calls run asynchronously. */
  listen(line: (text: string) => void): void
  silence(): void
  /** A callback for loading progress, 0 to 1, called on the JS thread. */
  progressCallback(report: (fraction: number) => void): { pointer: Pointer; free(): void }
}

let loaded: Native | undefined

/**
 * @throws HubError internal when the package of that variant is missing, a library does not load (a GPU runtime is not there),
 *   or the libraries are not a known release
 */
export function loadNative(variant: Variant = 'cpu'): Native {
  if (loaded !== undefined) {
    if (loaded.variant !== variant)
      throw new HubError('internal', `this process has loaded the ${loaded.variant} libraries already`)
    return loaded
  }
  const folder = findBins(variant)
  if (folder === undefined) {
    throw new HubError(
      'internal',
      `no prebuilt ${variant} libraries for ${process.platform} ${process.arch} are installed; ${howToInstall(variant)}`,
    )
  }
  // Each library is loaded by its full path, lowest first, so that Windows finds the others already in the process.
  const base = koffi.load(libraryFile(folder, 'ggml-base'))
  const ggml = koffi.load(libraryFile(folder, 'ggml'))
  const llama = koffi.load(libraryFile(folder, 'llama'))

  koffi.struct('llama_model_params', MODEL_PARAMS)
  koffi.struct('llama_context_params', CONTEXT_PARAMS)
  koffi.struct('llama_batch', BATCH)
  koffi.struct('llama_sampler_chain_params', SAMPLER_CHAIN_PARAMS)
  // 512 is GGML_MAX_N_THREADS.
  koffi.struct('ggml_threadpool_params', {
    cpumask: koffi.array('bool', 512),
    n_threads: 'int',
    prio: 'int',
    poll: 'uint32_t',
    strict_cpu: 'bool',
    paused: 'bool',
  })
  const functions: { [name: string]: unknown } = {}
  for (const prototype of LLAMA_PROTOTYPES.split(';')) {
    const name = /llama_(\w+)\s*\(/.exec(prototype)?.[1]
    if (name !== undefined) functions[name] = llama.func(prototype.trim())
  }
  const bound = functions as LlamaFunctions
  checkRelease(bound)

  // A harmless C function of no arguments swallows the log: a JS callback would be called from compute threads.
  const silent = base.symbol('ggml_time_us') as Pointer
  const logPrototype = koffi.proto('void hub_log_callback(int level, const char* text, void* data)')
  const progressPrototype = koffi.proto('bool hub_progress_callback(float fraction, void* data)')
  let logCallback: Pointer | undefined
  const silence = () => {
    bound.log_set(silent, null)
    if (logCallback !== undefined) koffi.unregister(logCallback)
    logCallback = undefined
  }
  silence()

  ggml.func('void ggml_backend_load_all_from_path(const char*)')(folder)
  const fallback = variant === 'cuda-ext' ? findFallback() : undefined
  if (fallback !== undefined) ggml.func('void* ggml_backend_load(const char*)')(libraryFile(fallback, 'ggml-cuda'))
  bound.backend_init()

  const deviceCount = ggml.func('size_t ggml_backend_dev_count()')
  const deviceGet = ggml.func('void* ggml_backend_dev_get(size_t)')
  const deviceName = base.func('const char* ggml_backend_dev_name(void*)')
  const deviceDescription = base.func('const char* ggml_backend_dev_description(void*)')
  const deviceType = base.func('int ggml_backend_dev_type(void*)')
  const deviceMemory = base.func('void ggml_backend_dev_memory(void*, _Out_ size_t*, _Out_ size_t*)')

  const registryByName = ggml.func('void* ggml_backend_reg_by_name(const char*)')
  const procAddress = base.func('void* ggml_backend_reg_get_proc_address(void*, const char*)')
  const threadpoolDefaults = base.func('ggml_threadpool_params ggml_threadpool_params_default(int)') as (
    n: number,
  ) => ThreadpoolParams
  const threadpoolNew = koffi.proto('void* hub_threadpool_new(ggml_threadpool_params* params)')
  const threadpoolFree = koffi.proto('void hub_threadpool_free(void* pool)')

  loaded = {
    ...bound,
    folder,
    variant,
    view: (pointer, bytes) => koffi.view(pointer, bytes),
    alloc: bytes => koffi.address(koffi.alloc('uint8', bytes)),
    release: pointer => koffi.free(pointer),
    devices() {
      return Array.from({ length: Number(deviceCount()) }, (_, index) => {
        const device = deviceGet(index)
        const free = [0]
        const total = [0]
        deviceMemory(device, free, total)
        return {
          name: String(deviceName(device)),
          description: String(deviceDescription(device)),
          type: Number(deviceType(device)),
          freeBytes: Number(free[0]),
          totalBytes: Number(total[0]),
        }
      })
    },
    threadpool(threads, poll) {
      const cpu = registryByName('CPU')
      const create = cpu === null ? null : procAddress(cpu, 'ggml_threadpool_new')
      const free = cpu === null ? null : procAddress(cpu, 'ggml_threadpool_free')
      if (create === null || free === null)
        throw new HubError('internal', 'the CPU backend gives no thread pool; run "npm ci" again')
      const params = { ...threadpoolDefaults(threads), poll }
      if (params.n_threads !== threads)
        throw new HubError('internal', 'ggml_threadpool_params has another layout than this binding knows')
      const pointer: Pointer = koffi.call(create, threadpoolNew, params)
      return { pointer, free: () => koffi.call(free, threadpoolFree, pointer) }
    },
    listen(line) {
      silence()
      logCallback = koffi.register((level: number, text: string) => {
        // Levels: 1 debug, 2 info, 3 warning, 4 error, 5 continuation of the line before.
        if (level === 3 || level === 4) line(text.trimEnd())
      }, koffi.pointer(logPrototype))
      bound.log_set(logCallback, null)
    },
    silence,
    progressCallback(report) {
      const pointer = koffi.register((fraction: number) => {
        report(fraction)
        return true
      }, koffi.pointer(progressPrototype))
      return { pointer, free: () => koffi.unregister(pointer) }
    },
  }
  return loaded
}

/** A native call that runs on a libuv thread, so that the event loop stays free. */
export function runAsync<A extends unknown[], R>(
  call: { async: (...args: [...A, (error: Error | null, result: R) => void]) => void },
  ...args: A
): Promise<R> {
  return new Promise((resolve, reject) => {
    call.async(...args, (error, result) => (error ? reject(error) : resolve(result)))
  })
}

/** @throws HubError internal when the release is not a known one or a struct has another layout than structs.ts says */
export function checkRelease(
  functions: Pick<LlamaFunctions, 'version' | 'model_default_params' | 'context_default_params'>,
): void {
  const problems: string[] = []
  const version = functions.version()
  if (!PINNED.test(version)) problems.push(`release ${version}`)
  const compare = (actual: { [name: string]: unknown }, expected: { [name: string]: unknown }) => {
    for (const [name, value] of Object.entries(expected)) {
      if (actual[name] !== value) problems.push(`${name} is ${String(actual[name])} instead of ${String(value)}`)
    }
  }
  compare(functions.model_default_params(), MODEL_DEFAULTS)
  compare(functions.context_default_params(), CONTEXT_DEFAULTS)
  if (problems.length > 0) {
    throw new HubError(
      'internal',
      `libllama is not a release that this binding knows (${problems.join('; ')}); install node-llama-cpp at the version of package.json`,
    )
  }
}
