/**
 * Checkpoints: one file with everything from which a run goes on exactly as if it had never stopped.
 *
 * `HUBC`, version u32 = 1, length of a JSON header u32, the header, then the floats of each tensor (values, AdamW's m and v,
 * and the best values so far where there are any), then the sha256 of all bytes before. Little endian.
 */
import { createHash } from 'node:crypto'
import { closeSync, fstatSync, openSync, readSync } from 'node:fs'
import { basename } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { HubError } from '../lib/error.ts'
import { writeAtomically } from './files.ts'
import type { Fitted } from './fit.ts'
import type { Trainable } from './types.ts'

/** What a checkpoint belongs to: another base, other data or other settings would make another run of it. */
export type Identity = {
  baseSha256: string
  tokensSha256: string
  validationSha256: string | null
  /** Of the adapter that the run began with. */
  continuedSha256: string | null
  settings: { [name: string]: unknown }
}

/** Where a run stands, between two steps. All that is random is drawn from the seed and these numbers. */
export type Place = {
  /** Steps done, skipped ones included. */
  step: number
  epoch: number
  /** Steps done of this epoch: the data cursor. */
  stepInEpoch: number
  skipped: number
  skippedInRow: number
  /** Of the last step that was finite; null before it. */
  loss: number | null
  validation: { step: number; loss: number } | null
  best: { step: number; loss: number } | null
  /** Validations since the best one. */
  withoutBest: number
  /** The validation behind the last step is still to be done. */
  validationDue: boolean
}

export type Tensor = { value: Float32Array; m: Float32Array; v: Float32Array }
export type Checkpoint = {
  identity: Identity
  place: Place
  fitted: Fitted
  /** Optimizer steps, which AdamW's bias correction counts. */
  stepCount: number
  tensors: Map<string, Tensor>
  best: Map<string, Float32Array> | null
}

type Header = Omit<Checkpoint, 'tensors' | 'best'> & { sizes: [name: string, elements: number][]; hasBest: boolean }

/** A run as it is saved, beside its tensors. */
type State = Pick<Checkpoint, 'identity' | 'place' | 'fitted' | 'best'>
/** The tensors as they are saved. */
type Saved = Pick<Trainable, 'names' | 'get' | 'shape' | 'moments' | 'stepCount'>

const MAGIC = Buffer.from('HUBC')
const VERSION = 1
const HASH_BYTES = 32

/** Replaces the file atomically. @returns its bytes @throws HubError insufficient_storage, invalid_request */
export function writeCheckpoint(path: string, state: State, parameters: Saved): number {
  return writeAtomically(path, chunks(state, parameters))
}

function* chunks({ identity, place, fitted, best }: State, parameters: Saved): Generator<Uint8Array> {
  const hash = createHash('sha256')
  const hashed = (chunk: Uint8Array): Uint8Array => {
    hash.update(chunk)
    return chunk
  }
  const header: Header = {
    identity,
    place,
    fitted,
    stepCount: parameters.stepCount,
    sizes: parameters.names.map(name => [name, product(parameters.shape(name))]),
    hasBest: best !== null,
  }
  const text = Buffer.from(JSON.stringify(header))
  const head = Buffer.alloc(12)
  MAGIC.copy(head)
  head.writeUInt32LE(VERSION, 4)
  head.writeUInt32LE(text.length, 8)
  yield hashed(head)
  yield hashed(text)
  for (const name of parameters.names) {
    const { m, v } = parameters.moments(name)
    yield hashed(bytesOf(parameters.get(name)))
    yield hashed(bytesOf(m))
    yield hashed(bytesOf(v))
    const kept = best?.get(name)
    if (kept !== undefined) yield hashed(bytesOf(kept))
  }
  yield hash.digest()
}

const product = ([a, b]: [number, number]) => a * b
const bytesOf = (values: Float32Array) => new Uint8Array(values.buffer, values.byteOffset, values.byteLength)

/** @throws HubError model_broken when the file is damaged, not_found */
export function readCheckpoint(path: string): Checkpoint {
  const damaged = (what: string) =>
    new HubError(
      'model_broken',
      `the checkpoint ${basename(path)} ${what}; put an undamaged copy there, or delete it to start anew`,
    )
  let file: number
  try {
    file = openSync(path, 'r')
  } catch (thrown) {
    throw new HubError('not_found', `the checkpoint ${path} cannot be opened`, { cause: thrown })
  }
  try {
    const size = fstatSync(file).size
    let at = 0
    const take = (bytes: number): Buffer => {
      // Not from the pool, so that floats begin at an aligned place.
      const buffer = Buffer.alloc(bytes)
      for (let done = 0; done < bytes; ) {
        const got = readSync(file, buffer, done, bytes - done, at)
        if (got === 0) throw damaged('is truncated')
        done += got
        at += got
      }
      return buffer
    }
    if (size < 12 + HASH_BYTES) throw damaged('is truncated')
    if (!take(4).equals(MAGIC)) throw damaged('is not a checkpoint')
    const version = take(4).readUInt32LE()
    if (version !== VERSION) throw damaged(`is of version ${version}, not ${VERSION}`)
    // Nothing else in it is believed before this.
    at = 0
    const hash = createHash('sha256')
    while (at < size - HASH_BYTES) hash.update(take(Math.min(2 ** 22, size - HASH_BYTES - at)))
    if (!take(HASH_BYTES).equals(hash.digest())) throw damaged('is truncated or damaged: its checksum is wrong')
    at = 8
    const length = take(4).readUInt32LE()
    const header: Header = JSON.parse(take(length).toString('utf8'))
    const tensors: Checkpoint['tensors'] = new Map()
    const best: Map<string, Float32Array> | null = header.hasBest ? new Map() : null
    for (const [name, count] of header.sizes) {
      const floats = () => {
        const buffer = take(count * 4)
        return new Float32Array(buffer.buffer, buffer.byteOffset, count)
      }
      tensors.set(name, { value: floats(), m: floats(), v: floats() })
      best?.set(name, floats())
    }
    const { identity, place, fitted, stepCount } = header
    return { identity, place, fitted, stepCount, tensors, best }
  } finally {
    closeSync(file)
  }
}

/** @throws HubError conflict naming what differs */
export function checkIdentity(path: string, found: Identity, wanted: Identity): void {
  const differs: string[] = []
  if (found.baseSha256 !== wanted.baseSha256) differs.push('the base model')
  if (found.tokensSha256 !== wanted.tokensSha256) differs.push('the token file')
  if (found.validationSha256 !== wanted.validationSha256) differs.push('the validation file')
  if (found.continuedSha256 !== wanted.continuedSha256) differs.push('the adapter to continue from')
  for (const name of new Set([...Object.keys(found.settings), ...Object.keys(wanted.settings)])) {
    const [before, now] = [found.settings[name], wanted.settings[name]]
    if (!isDeepStrictEqual(before, now)) {
      differs.push(`${name} (${JSON.stringify(before) ?? 'none'} then, ${JSON.stringify(now) ?? 'none'} now)`)
    }
  }
  if (differs.length === 0) return
  throw new HubError(
    'conflict',
    `the checkpoint ${basename(path)} is of another run: ${differs.join(', ')} differ. Restore them, or delete the checkpoint to start anew`,
    { param: 'checkpoint' },
  )
}

/** Puts values, moments and step count back. @throws HubError conflict when the model trains other tensors */
export function restore(path: string, checkpoint: Checkpoint, parameters: Trainable): void {
  const names = parameters.names
  const fits =
    names.length === checkpoint.tensors.size &&
    names.every(name => checkpoint.tensors.get(name)?.value.length === product(parameters.shape(name)))
  if (!fits) {
    throw new HubError('conflict', `the checkpoint ${basename(path)} has other tensors than the model; delete it`, {
      param: 'checkpoint',
    })
  }
  for (const [name, { value, m, v }] of checkpoint.tensors) {
    parameters.set(name, value)
    parameters.setMoments(name, m, v)
  }
  parameters.stepCount = checkpoint.stepCount
}
