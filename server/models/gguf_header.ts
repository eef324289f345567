/** Reads the header of a GGUF file as a stream: metadata and tensor infos, never the weights, in bounded memory whatever the file says. */
import { type FileHandle, open, stat } from 'node:fs/promises'
import { basename } from 'node:path'
import { HubError } from '../lib/error.ts'
import { LIMITS, type Limits, Reader, Shortfall } from './gguf_reader.ts'
import { FIM_TOKENS, TENSOR_TYPES } from './gguf_types.ts'

/** What is kept of an array: its length always, its values where it is short (numbers up to 4096, strings up to 64). */
export type KeptArray = { length: number; values?: readonly (string | number | boolean)[] }
export type MetadataValue = string | number | boolean | KeptArray

/** `shape` in ggml's order, the length of a row first; `offset` and `bytes` within the data section. */
export type TensorInfo = {
  name: string
  type: string
  shape: number[]
  elements: number
  offset: number
  bytes: number
}

export type GgufHeader = {
  version: 2 | 3
  metadata: ReadonlyMap<string, MetadataValue>
  tensors: readonly TensorInfo[]
  /** Number of weights of each tensor type. */
  weights: ReadonlyMap<string, number>
  /** Which parts of a FIM vocabulary were seen among the token texts. */
  fimTokens: { prefix: boolean; suffix: boolean; middle: boolean }
  headerBytes: number
  fileBytes: number
}

/**
 * Reads the header of one file.
 * @throws HubError model_broken with the reason and what to do; `shortfall` tells whether more bytes may heal it
 */
export async function readGgufHeader(path: string, limits: Partial<Limits> = {}): Promise<GgufHeader> {
  let file: FileHandle
  try {
    // Before opening: opening a named pipe would wait for a writer.
    if (!(await stat(path)).isFile()) {
      throw new HubError('model_broken', `${basename(path)} is no file; put a GGUF file there.`)
    }
    file = await open(path, 'r')
  } catch (error) {
    if (error instanceof HubError) throw error
    throw new HubError('model_broken', `${basename(path)} cannot be opened (${errorCode(error)}); check its rights.`, {
      cause: error,
    })
  }
  try {
    const { size } = await file.stat()
    return await parse(new Reader(file, basename(path), size, { ...LIMITS, ...limits }))
  } catch (error) {
    if (error instanceof HubError) throw error
    throw new HubError('model_broken', `${basename(path)} cannot be read (${errorCode(error)}); check the disk.`, {
      cause: error,
    })
  } finally {
    await file.close()
  }
}

/** For an error that says the file ends too early: how many bytes it needs as far as that is known; else undefined. */
export function shortfall(error: unknown): { neededBytes: number } | undefined {
  return error instanceof HubError && error.cause instanceof Shortfall ? error.cause : undefined
}

const errorCode = (error: unknown): string => (error as NodeJS.ErrnoException).code ?? String(error)

const KEY_BYTES = 2 ** 16 - 1
const KEPT_STRING_BYTES = 2 ** 20
const NAME_BYTES = 64
const KEPT_NUMBERS = 4096
const KEPT_STRINGS = 64

/** Bytes of the scalar types by tag; 0 for string (8) and array (9). */
const SCALAR_BYTES = [1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8]
const STRING = 8
const ARRAY = 9

async function parse(reader: Reader): Promise<GgufHeader> {
  await checkMagic(reader)
  await reader.need(20)
  const version = checkVersion(reader)
  const tensorCount = reader.long('its tensor count')
  const keyCount = reader.long('its key count')
  const { limits } = reader
  if (tensorCount > limits.tensors)
    throw reader.broken(`it claims ${tensorCount} tensors; ${limits.tensors} is the limit`)
  if (keyCount > limits.keys) throw reader.broken(`it claims ${keyCount} metadata keys; ${limits.keys} is the limit`)
  const fimTokens = { prefix: false, suffix: false, middle: false }
  const metadata = new Map<string, MetadataValue>()
  for (let i = 0; i < keyCount; i++) {
    const key = await readText(reader, KEY_BYTES, 'a metadata key')
    if (metadata.has(key)) throw reader.broken(`its header has the key ${quote(key)} twice`)
    await reader.need(4)
    const value = await readValue(reader, key, reader.u32(), key === 'tokenizer.ggml.tokens' ? fimTokens : undefined)
    if (value !== undefined) metadata.set(key, value)
  }
  const alignment = metadata.get('general.alignment') ?? 32
  if (typeof alignment !== 'number' || alignment <= 0 || !Number.isInteger(Math.log2(alignment))) {
    throw reader.broken('its alignment is no power of two')
  }
  const tensors = await readTensors(reader, tensorCount, alignment)
  const last = tensors.at(-1)
  if (last) {
    const dataStart = Math.ceil(reader.position / alignment) * alignment
    const needed = dataStart + last.offset + last.bytes
    if (needed > reader.fileBytes) throw reader.short(needed)
  }
  const weights = new Map<string, number>()
  for (const { type, elements } of tensors) weights.set(type, (weights.get(type) ?? 0) + elements)
  return { version, metadata, tensors, weights, fimTokens, headerBytes: reader.position, fileBytes: reader.fileBytes }
}

/** Refuses what is no GGUF file, with a better reason for the usual mistakes. */
async function checkMagic(reader: Reader): Promise<void> {
  // Enough for a name; a shorter file may still grow.
  const bytes = Math.min(16, reader.fileBytes)
  await reader.need(bytes)
  const start = reader.peek(bytes)
  const text = start.toString('latin1')
  const foreign = (what: string): HubError => new HubError('model_broken', `${reader.name} is no GGUF file: ${what}`)
  if (text.startsWith('GGUF')) {
    reader.skip(4)
    return
  }
  // An empty or zeroed start is what a copy with reserved space looks like until its data arrives.
  if (start.every(byte => byte === 0) || 'GGUF'.startsWith(text)) throw reader.short()
  if (/^(ggml|lmgg|tjgg|algg|fmgg)/.test(text))
    throw foreign('it is of the older GGML format. Get the GGUF version of the model.')
  if (text.startsWith('FUGG')) throw foreign('it is big-endian. Get the little-endian version of the model.')
  if (text.startsWith('version https:'))
    throw foreign('it is a Git LFS pointer. Run "git lfs pull" where it comes from.')
  if (/^\s*<(!doctype|html|\?xml)/i.test(text)) throw foreign('it is a web page. Download the model file itself.')
  if (text.startsWith('PK')) throw foreign('it is a zip or PyTorch file. Convert it to GGUF or get a GGUF version.')
  if (/^.{8}\{"/s.test(text)) throw foreign('it looks like safetensors. Convert it to GGUF or get a GGUF version.')
  throw foreign('it does not begin with "GGUF". Download or copy it again.')
}

function checkVersion(reader: Reader): 2 | 3 {
  const version = reader.u32()
  if (version === 2 || version === 3) return version
  const refused = (what: string): HubError => new HubError('model_broken', `${reader.name} is ${what}`)
  if ((version & 0xffff) === 0) throw refused('big-endian. Get the little-endian version of the model.')
  if (version < 2)
    throw refused(`GGUF version ${version}, which llama.cpp no longer reads. Get a newer file of the model.`)
  throw refused(`GGUF version ${version}; this hub reads 2 and 3. Update the hub or get an older file of the model.`)
}

async function readText(reader: Reader, mostBytes: number, what: string): Promise<string> {
  await reader.need(8)
  const bytes = reader.long(`the length of ${what}`)
  if (bytes > mostBytes) throw reader.broken(`the length of ${what} is ${bytes} bytes`)
  reader.keep(bytes)
  await reader.need(bytes)
  return reader.take(bytes).toString('utf8')
}

/** One metadata value; undefined for a string too long to keep. */
async function readValue(
  reader: Reader,
  key: string,
  tag: number,
  fimTokens: GgufHeader['fimTokens'] | undefined,
): Promise<MetadataValue | undefined> {
  if (tag === STRING) {
    await reader.need(8)
    const bytes = reader.long(`the length of ${quote(key)}`)
    if (bytes > KEPT_STRING_BYTES) {
      reader.skip(bytes)
      return undefined
    }
    reader.keep(bytes)
    await reader.need(bytes)
    return reader.take(bytes).toString('utf8')
  }
  if (tag === ARRAY) return readArray(reader, key, fimTokens)
  const bytes = SCALAR_BYTES[tag]
  if (bytes === undefined) throw reader.broken(`${quote(key)} is of the unknown type ${tag}`)
  await reader.need(bytes)
  return scalar(tag, reader.take(bytes))
}

async function readArray(
  reader: Reader,
  key: string,
  fimTokens: GgufHeader['fimTokens'] | undefined,
): Promise<KeptArray> {
  await reader.need(12)
  const tag = reader.u32()
  const length = reader.long(`the length of ${quote(key)}`)
  if (tag === STRING) {
    const values: string[] = []
    const what = `the length of a string in ${quote(key)}`
    for (let i = 0; i < length; i++) {
      // Awaiting only when the buffer runs out keeps a vocabulary of 150,000 tokens at a few milliseconds.
      const wait = reader.need(8)
      if (wait) await wait
      const bytes = reader.long(what)
      if (length > KEPT_STRINGS && (fimTokens === undefined || bytes > LONGEST_FIM)) reader.skip(bytes)
      else {
        if (bytes > KEPT_STRING_BYTES) throw reader.broken(`a string in ${quote(key)} is ${bytes} bytes long`)
        const more = reader.need(bytes)
        if (more) await more
        const text = reader.take(bytes)
        if (fimTokens) noteFim(fimTokens, text)
        if (length <= KEPT_STRINGS) {
          reader.keep(bytes)
          values.push(text.toString('utf8'))
        }
      }
    }
    return length <= KEPT_STRINGS ? { length, values } : { length }
  }
  const bytes = SCALAR_BYTES[tag]
  if (tag === ARRAY) throw reader.broken(`${quote(key)} is an array of arrays, which no model uses`)
  if (!bytes) throw reader.broken(`${quote(key)} is an array of the unknown type ${tag}`)
  if (length > KEPT_NUMBERS) {
    reader.skip(length * bytes)
    return { length }
  }
  reader.keep(length * 8)
  await reader.need(length * bytes)
  return { length, values: Array.from({ length }, () => scalar(tag, reader.take(bytes))) }
}

/** 64-bit integers become numbers: no metadata in use goes beyond 2^53. */
function scalar(tag: number, bytes: Buffer): number | boolean {
  switch (tag) {
    case 0:
      return bytes.readUInt8()
    case 1:
      return bytes.readInt8()
    case 2:
      return bytes.readUInt16LE()
    case 3:
      return bytes.readInt16LE()
    case 4:
      return bytes.readUInt32LE()
    case 5:
      return bytes.readInt32LE()
    case 6:
      return bytes.readFloatLE()
    case 7:
      return bytes.readUInt8() !== 0
    case 10:
      return Number(bytes.readBigUInt64LE())
    case 11:
      return Number(bytes.readBigInt64LE())
    default:
      return bytes.readDoubleLE()
  }
}

async function readTensors(reader: Reader, count: number, alignment: number): Promise<TensorInfo[]> {
  const tensors: TensorInfo[] = []
  const names = new Set<string>()
  let offset = 0
  for (let i = 0; i < count; i++) {
    const name = await readText(reader, NAME_BYTES - 1, 'a tensor name')
    const bad = (what: string): HubError => reader.broken(`tensor ${quote(name)} ${what}`)
    if (names.has(name)) throw bad('is there twice')
    names.add(name)
    await reader.need(4)
    const dimensions = reader.u32()
    if (dimensions > 4) throw bad(`has ${dimensions} dimensions; 4 is the most`)
    await reader.need(dimensions * 8 + 12)
    const shape = Array.from({ length: dimensions }, () => reader.long(`a dimension of tensor ${quote(name)}`))
    const elements = shape.reduce((product, n) => product * n, 1)
    const number = reader.u32()
    const type = TENSOR_TYPES.get(number)
    if (!type) {
      throw new HubError(
        'model_broken',
        `${reader.name} has the tensor ${quote(name)} of the type ${number}, which this hub's llama.cpp does not know. ` +
          'Update the hub or get another quantisation of the model.',
      )
    }
    if ((shape[0] ?? 1) % type.block !== 0) throw bad(`has rows of ${shape[0]}, no whole number of ${type.name} blocks`)
    const bytes = (elements / type.block) * type.bytes
    if (!Number.isSafeInteger(elements) || !Number.isSafeInteger(offset + bytes)) throw bad('is absurdly large')
    const at = reader.long(`the offset of tensor ${quote(name)}`)
    if (at !== offset) throw bad(`lies at ${at} where ${offset} is its place`)
    tensors.push({ name, type: type.name, shape, elements, offset, bytes })
    offset = Math.ceil((offset + bytes) / alignment) * alignment
  }
  return tensors
}

const LONGEST_FIM = Math.max(...[...FIM_TOKENS.keys()].map(token => Buffer.byteLength(token)))

function noteFim(fimTokens: GgufHeader['fimTokens'], token: Buffer): void {
  // All of them end in ">" (0x3e), hardly any other token of five bytes or more does.
  if (token.length < 5 || token.at(-1) !== 0x3e) return
  const part = FIM_TOKENS.get(token.toString('utf8'))
  if (part) fimTokens[part] = true
}

/** A text of the file as it may stand in a message: short and without control characters. */
function quote(text: string): string {
  return JSON.stringify(text.length > 64 ? `${text.slice(0, 64)}...` : text)
}
