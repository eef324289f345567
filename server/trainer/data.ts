/**
 * The token file: what the trainer learns from, as token ids with a loss weight each; it holds no text.
 *
 * Little endian throughout. Header, 32 bytes: `HUBT`, version u32 = 1, kind u32 (0 samples, 1 preference pairs), vocabulary size u32,
 * number of sequences u64, number of tokens u64. Then the sequences: length u32, tokens i32[length], weights f32[length].
 * Of a pair the chosen sequence stands first and the rejected one behind it.
 */
import { createHash } from 'node:crypto'
import { readFileSync, statSync } from 'node:fs'
import { basename } from 'node:path'
import { HubError } from '../lib/error.ts'
import { TOKEN_FILE } from '../lib/token_file.ts'
import { writeAtomically } from './files.ts'
import { randomAt, shuffle } from './random.ts'

/** One sequence. `weights[i]` is the loss weight of predicting token i from those before; 0 masks it, and the first is always 0. */
export type Sequence = { tokens: Int32Array; weights: Float32Array }

export type TokenFile = {
  kind: 'samples' | 'preferences'
  /** Of the model whose tokenizer made the tokens. */
  vocabularySize: number
  /** Of preferences: chosen, rejected, chosen, rejected, ... */
  sequences: Sequence[]
}

const MAGIC = Buffer.from(TOKEN_FILE.magic)
const { version: VERSION, headerBytes: HEADER_BYTES, kinds: KINDS, maxBytes: MAX_BYTES } = TOKEN_FILE

/** Writes the file atomically. */
export function writeTokenFile(path: string, file: TokenFile): void {
  const tokens = file.sequences.reduce((sum, sequence) => sum + sequence.tokens.length, 0)
  const bytes = Buffer.alloc(HEADER_BYTES + file.sequences.length * 4 + tokens * 8)
  MAGIC.copy(bytes)
  bytes.writeUInt32LE(VERSION, 4)
  bytes.writeUInt32LE(KINDS.indexOf(file.kind), 8)
  bytes.writeUInt32LE(file.vocabularySize, 12)
  bytes.writeBigUInt64LE(BigInt(file.sequences.length), 16)
  bytes.writeBigUInt64LE(BigInt(tokens), 24)
  let at: number = HEADER_BYTES
  for (const { tokens, weights } of file.sequences) {
    at = bytes.writeUInt32LE(tokens.length, at)
    for (const token of tokens) at = bytes.writeInt32LE(token, at)
    for (let i = 0; i < tokens.length; i++) at = bytes.writeFloatLE(i === 0 ? 0 : (weights[i] ?? 0), at)
  }
  writeAtomically(path, [bytes])
}

/**
 * Reads and checks the whole file.
 * @returns the file, and the sha256 of its bytes as hex
 * @throws HubError not_found, invalid_request naming what is wrong and where
 */
export function readTokenFile(path: string): TokenFile & { sha256: string } {
  const name = basename(path)
  const wrong = (what: string): HubError =>
    new HubError('invalid_request', `the token file ${name} ${what}; make it again from the training data`)
  let bytes: Buffer
  try {
    const { size } = statSync(path)
    if (size > MAX_BYTES) throw wrong(`has ${size} bytes, more than the ${MAX_BYTES} that are read at once`)
    bytes = readFileSync(path)
  } catch (thrown) {
    if (thrown instanceof HubError) throw thrown
    throw new HubError('not_found', `the token file ${path} cannot be read: ${reason(thrown)}`, { cause: thrown })
  }
  if (bytes.length < HEADER_BYTES || !bytes.subarray(0, 4).equals(MAGIC)) throw wrong('is not a token file')
  const version = bytes.readUInt32LE(4)
  if (version !== VERSION) throw wrong(`is of version ${version}; this trainer reads version ${VERSION}`)
  const kind = KINDS[bytes.readUInt32LE(8)]
  if (kind === undefined) throw wrong(`is of kind ${bytes.readUInt32LE(8)}, which this trainer does not know`)
  const vocabularySize = bytes.readUInt32LE(12)
  const count = Number(bytes.readBigUInt64LE(16))
  const total = Number(bytes.readBigUInt64LE(24))
  const expected = HEADER_BYTES + count * 4 + total * 8
  if (expected !== bytes.length) throw wrong(`has ${bytes.length} bytes where its header says ${expected}`)
  const sequences: Sequence[] = []
  let at: number = HEADER_BYTES
  for (let index = 0; index < count; index++) {
    const length = at + 4 <= bytes.length ? bytes.readUInt32LE(at) : Number.NaN
    at += 4
    if (!(at + length * 8 <= bytes.length)) throw wrong(`ends within sequence ${index}`)
    if (length < 2) throw wrong(`has a sequence (${index}) of ${length} tokens; at least 2 are needed`)
    // Copies, so that the arrays are aligned wherever the buffer begins.
    const tokens = new Int32Array(bytes.buffer.slice(bytes.byteOffset + at, bytes.byteOffset + at + length * 4))
    const weights = new Float32Array(
      bytes.buffer.slice(bytes.byteOffset + at + length * 4, bytes.byteOffset + at + length * 8),
    )
    weights[0] = 0
    const bad = weights.findIndex(weight => !(weight >= 0 && weight < Number.POSITIVE_INFINITY))
    if (bad >= 0) throw wrong(`gives token ${bad} of sequence ${index} the weight ${weights[bad]}`)
    at += length * 8
    sequences.push({ tokens, weights })
  }
  if (at !== bytes.length) throw wrong(`has ${bytes.length - at} bytes behind its last sequence`)
  if (kind === 'preferences' && count % 2 !== 0) throw wrong('has a chosen answer without its rejected one')
  return { kind, vocabularySize, sequences, sha256: createHash('sha256').update(bytes).digest('hex') }
}

/** A thing to learn from: one sequence, or the chosen and the rejected one of a pair. */
export type Sample = Sequence[]

export type DataSet = {
  training: Sample[]
  validation: Sample[]
  /** Samples without a target, which teach nothing and are left out. */
  empty: number
}

/**
 * Samples for training and validation, checked against the model and the rows.
 * @param share of the samples that go to validation when there is no validation file, chosen by the seed
 * @throws HubError invalid_request naming the sample
 */
export function makeDataSet(
  files: { tokens: TokenFile; validation?: TokenFile },
  options: {
    kind: TokenFile['kind']
    vocabularySize: number
    contextLength: number
    rowTokens: number
    share: number
    seed: number
  },
): DataSet {
  if (options.rowTokens > options.contextLength) {
    throw new HubError(
      'invalid_request',
      `rowTokens is ${options.rowTokens}, longer than the model's context of ${options.contextLength} tokens; set it to that at most`,
      { param: 'rowTokens' },
    )
  }
  let empty = 0
  const take = (file: TokenFile, name: string): Sample[] => {
    if (file.kind !== options.kind) {
      throw new HubError(
        'invalid_request',
        `the ${name} file holds ${file.kind}, and the job's loss wants ${options.kind}; change the loss or the file`,
        { param: 'loss' },
      )
    }
    if (file.vocabularySize !== options.vocabularySize) {
      throw new HubError(
        'invalid_request',
        `the ${name} file was made with a vocabulary of ${file.vocabularySize}, and the base model has ${options.vocabularySize} tokens; tokenize the data with this model`,
        { param: name === 'token' ? 'tokens' : 'validation' },
      )
    }
    const each = file.kind === 'preferences' ? 2 : 1
    const samples: Sample[] = []
    for (let at = 0; at < file.sequences.length; at += each) {
      const sample = file.sequences.slice(at, at + each)
      for (const sequence of sample) checkSequence(sequence, `${name} sample ${at / each}`, options)
      if (sample.every(hasTarget)) samples.push(sample)
      else empty++
    }
    return samples
  }
  let training = take(files.tokens, 'token')
  if (training.length === 0) {
    throw new HubError('invalid_request', 'there is no sample with a target to train on; check the masks of the data', {
      param: 'tokens',
    })
  }
  let validation = files.validation === undefined ? [] : take(files.validation, 'validation')
  if (files.validation !== undefined && validation.length === 0) {
    throw new HubError(
      'invalid_request',
      'the validation file has no sample with a target; check the masks of the data, or leave validation out',
      { param: 'validation' },
    )
  }
  if (files.validation === undefined && options.share > 0) {
    if (training.length === 1) {
      throw new HubError(
        'invalid_request',
        'there is one sample with a target, which cannot be both trained and validated on; add samples, or set validationShare to 0',
        { param: 'validationShare' },
      )
    }
    const order = shuffle(
      Int32Array.from(training, (_, index) => index),
      randomAt(options.seed, VALIDATION_DRAW),
    )
    const kept = new Set(order.subarray(0, Math.max(1, Math.floor(training.length * options.share))))
    validation = training.filter((_, index) => kept.has(index))
    training = training.filter((_, index) => !kept.has(index))
  }
  return { training, validation, empty }
}

/** Places in the seed's space: epochs count up from 0, so this one is out of their way. */
const VALIDATION_DRAW = 0xffff_ffff

const hasTarget = (sequence: Sequence): boolean => sequence.weights.some(weight => weight > 0)

function checkSequence(
  { tokens }: Sequence,
  name: string,
  { vocabularySize, rowTokens }: { vocabularySize: number; rowTokens: number },
): void {
  if (tokens.length > rowTokens) {
    throw new HubError(
      'invalid_request',
      `${name} has ${tokens.length} tokens and a row holds ${rowTokens}; raise rowTokens or cut the sample`,
      { param: 'rowTokens' },
    )
  }
  const bad = tokens.findIndex(token => token < 0 || token >= vocabularySize)
  if (bad >= 0) {
    throw new HubError(
      'invalid_request',
      `${name}, token ${bad}: id ${tokens[bad]} is out of range; the model's ids go from 0 to ${vocabularySize - 1}. Tokenize the data with this model`,
      { param: 'tokens' },
    )
  }
}

const reason = (thrown: unknown): string => (thrown instanceof Error ? thrown.message : String(thrown))
