/**
 * Finds equal and nearly equal texts with little memory: equal ones by a 64-bit hash, near ones by MinHash with banding.
 *
 * Memory per sample: 11 to 23 bytes for the exact hash (64 MB at most, 7.5 million texts), 16 to 20 bytes for the bands
 * that were seen (53 MB at most, good for 3.3 million texts; beyond that more texts are compared in vain), 3 bits for
 * decisions. Only texts that share bands with another one, which the first reading finds out, cost more in the second:
 * about 490 bytes each, REPRESENTATIVES of them at most.
 */

/** Minima of a MinHash signature; one permutation with bins, so that each shingle is hashed once. */
const BINS = 128
const BANDS = 16
/** Minima per band. Two texts of similarity s agree in a band with s^5: 0.33 at 0.8, 0.59 at 0.9. */
const ROWS = 5
/** Bands that must agree before two texts are compared: 98.5% of pairs of similarity 0.8 have them, 99.99% at 0.9. */
const MIN_BANDS = 2
/** Words of a shingle. */
const SHINGLE = 3
/** Texts of fewer words are compared for equality only: in a short text one other word is another meaning. */
const MIN_WORDS = 10
export const NEAR_THRESHOLD = 0.8

export type Fingerprint = {
  /** 64 bits of the text in lower case with white space collapsed. */
  high: number
  low: number
  /** Hashes of its words, one after the other; valid until the next fingerprint is taken. */
  words: Uint32Array
}

let wordBuffer = new Uint32Array(4096)

/** Hashes texts as one: their words, and all of it. A border between texts counts as a word. */
export function fingerprint(texts: string[]): Fingerprint {
  let high = 0x811c9dc5
  let low = 0x9747b28c
  let count = 0
  for (const text of texts) {
    const lower = text.toLowerCase()
    let word = 0
    let space = true
    if (wordBuffer.length < count + lower.length + 2) wordBuffer = grown(wordBuffer, count + lower.length + 2)
    for (let i = 0; i < lower.length; i++) {
      const unit = lower.charCodeAt(i)
      if (unit === 32 || (unit >= 9 && unit <= 13) || unit === 0xa0) {
        if (word !== 0) wordBuffer[count++] = word
        word = 0
        space = true
        continue
      }
      if (space) {
        high = Math.imul(high ^ 32, 0x01000193)
        low = Math.imul((low << 13) ^ (low >>> 19) ^ 32, 0x5bd1e995)
        space = false
      }
      high = Math.imul(high ^ unit, 0x01000193)
      low = Math.imul((low << 13) ^ (low >>> 19) ^ unit, 0x5bd1e995)
      if (isWordUnit(unit)) word = Math.imul(word ^ unit ^ 0x9e3779b9, 0x01000193) | 1
      else if (word !== 0) {
        wordBuffer[count++] = word
        word = 0
      }
    }
    if (word !== 0) wordBuffer[count++] = word
    high = Math.imul(high ^ 0x1f0001, 0x01000193)
    low = Math.imul((low << 13) ^ (low >>> 19) ^ 0x1f0001, 0x5bd1e995)
  }
  return { high: mix(high ^ low), low: mix(low + 0x632be59b), words: wordBuffer.subarray(0, count) }
}

function isWordUnit(unit: number): boolean {
  return (unit >= 97 && unit <= 122) || (unit >= 48 && unit <= 57) || unit === 95 || unit >= 0x80
}

/** Spreads the bits of a 32-bit hash (the finish of MurmurHash3). */
function mix(hash: number): number {
  let h = hash
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return (h ^ (h >>> 16)) >>> 0
}

function grown<T extends Uint32Array | Int32Array | Uint16Array | Uint8Array>(array: T, least: number): T {
  const next = new (array.constructor as new (length: number) => T)(Math.max(least, array.length * 2))
  next.set(array)
  return next
}

/** Bits by index, growing. */
export class Bits {
  #bytes = new Uint8Array(1024)

  set(index: number): void {
    const byte = index >>> 3
    if (byte >= this.#bytes.length) this.#bytes = grown(this.#bytes, byte + 1)
    this.#bytes[byte]! |= 1 << (index & 7)
  }

  has(index: number): boolean {
    return ((this.#bytes[index >>> 3] ?? 0) & (1 << (index & 7))) !== 0
  }
}

/** A set of 64-bit hashes in one typed array. When it is full it takes no more and says so. */
export class HashSet {
  #slots: Uint32Array
  #size = 0
  readonly #mostSlots: number
  /** Hashes that found no place any more. */
  refused = 0

  constructor(mostSlots = 1 << 23) {
    this.#mostSlots = mostSlots
    this.#slots = new Uint32Array(2 * Math.min(1 << 12, mostSlots))
  }

  /** Puts the hash in; true when it was there already. */
  add(high: number, low: number): boolean {
    if (this.#find(high, low) === undefined) return true
    const slots = this.#slots.length / 2
    if (this.#size >= slots * (slots < this.#mostSlots ? 0.7 : 0.9)) {
      if (slots >= this.#mostSlots) {
        this.refused++
        return false
      }
      this.#grow()
    }
    const at = this.#find(high, low)!
    this.#slots[at] = high
    this.#slots[at + 1] = notZero(high, low)
    this.#size++
    return false
  }

  has(high: number, low: number): boolean {
    return this.#find(high, low) === undefined
  }

  /** Where the hash would go, or undefined when it is in. */
  #find(high: number, low: number): number | undefined {
    const mask = this.#slots.length / 2 - 1
    const stored = notZero(high, low)
    for (let slot = low & mask; ; slot = (slot + 1) & mask) {
      const a = this.#slots[2 * slot]!
      const b = this.#slots[2 * slot + 1]!
      if (a === 0 && b === 0) return 2 * slot
      if (a === high && b === stored) return undefined
    }
  }

  #grow(): void {
    const old = this.#slots
    this.#slots = new Uint32Array(old.length * 2)
    for (let i = 0; i < old.length; i += 2) {
      if (old[i] === 0 && old[i + 1] === 0) continue
      const at = this.#find(old[i]!, old[i + 1]!)!
      this.#slots[at] = old[i]!
      this.#slots[at + 1] = old[i + 1]!
    }
  }
}

/** An empty slot is two zeros, so that the hash of two zeros is stored as another. */
function notZero(high: number, low: number): number {
  return high === 0 && low === 0 ? 1 : low
}

/** Remembers 32-bit keys in bits: never forgets one, and takes one in 20 to 50 for known that is not. Grows in levels. */
class KeyFilter {
  readonly #levels: Uint8Array[] = []
  readonly #mostLevels: number
  #left = 0

  constructor(mostLevels: number) {
    this.#mostLevels = mostLevels
  }

  has(key: number): boolean {
    return this.#levels.some(level => hasBit(level, mix(key)) && hasBit(level, mix(key ^ 0x27d4eb2f)))
  }

  add(key: number): void {
    if (this.#left <= 0 && this.#levels.length < this.#mostLevels) {
      // 1, 4, 16 and 32 MB, each for as many keys as it has bytes.
      const bytes = Math.min(2 ** (20 + 2 * this.#levels.length), 2 ** 25)
      this.#levels.push(new Uint8Array(bytes))
      this.#left = bytes
    }
    this.#left--
    const level = this.#levels.at(-1)!
    setBit(level, mix(key))
    setBit(level, mix(key ^ 0x27d4eb2f))
  }
}

function hasBit(bytes: Uint8Array, hash: number): boolean {
  const bit = hash & (bytes.length * 8 - 1)
  return (bytes[bit >>> 3]! & (1 << (bit & 7))) !== 0
}

function setBit(bytes: Uint8Array, hash: number): void {
  const bit = hash & (bytes.length * 8 - 1)
  bytes[bit >>> 3]! |= 1 << (bit & 7)
}

const NONE = 0xffff_ffff
/** The signature of the text at hand; one buffer is enough, since texts come one at a time. */
const minima = new Uint32Array(BINS)
const filled = new Uint32Array(BINS)
const bandKeys = new Uint32Array(BANDS)

/**
 * The band keys of a text (valid until the next call), undefined for texts too short to be near duplicates.
 * `salt` keeps texts of different context apart: with another salt nothing is similar.
 */
function bandsOf(words: Uint32Array, salt: number): Uint32Array | undefined {
  if (words.length < MIN_WORDS) return undefined
  minima.fill(NONE)
  for (let i = 0; i + SHINGLE <= words.length; i++) {
    const shingle = mix(Math.imul(words[i]!, 0x9e3779b1) ^ Math.imul(words[i + 1]!, 0x85ebca77) ^ words[i + 2]! ^ salt)
    const bin = shingle >>> 25
    const value = shingle & 0x1ff_ffff
    if (value < minima[bin]!) minima[bin] = value
  }
  // An empty bin takes the minimum of another one, found the same way in every text ("optimal densification").
  for (let bin = 0; bin < BINS; bin++) {
    let from = bin
    for (let attempt = 1; minima[from] === NONE; attempt++) from = mix(bin * 4096 + attempt) & (BINS - 1)
    filled[bin] = minima[from]! ^ (from << 25)
  }
  for (let band = 0; band < BANDS; band++) {
    let key = band + 1
    for (let row = 0; row < ROWS; row++) key = mix(Math.imul(key, 31) ^ filled[band * ROWS + row]!)
    bandKeys[band] = key
  }
  return bandKeys
}

/** The first reading: which band keys stand in more than one text. */
export class NearCandidates {
  #seen = new KeyFilter(4)
  readonly #repeated = new KeyFilter(3)

  add(words: Uint32Array, salt: number): void {
    const keys = bandsOf(words, salt)
    if (keys === undefined) return
    let hits = 0
    for (const key of keys) if (this.#seen.has(key)) hits++
    if (hits >= MIN_BANDS) for (const key of keys) if (this.#seen.has(key)) this.#repeated.add(key)
    for (const key of keys) this.#seen.add(key)
  }

  /** Ends the first reading and frees what only it needs. */
  finish(): NearDuplicates {
    this.#seen = new KeyFilter(0)
    return new NearDuplicates(key => this.#repeated.has(key))
  }
}

/** Texts that are kept for comparison, at most; about 59 MB. */
const REPRESENTATIVES = 120_000
/** Texts of one band key that are compared. */
const MOST_COMPARED = 64

/** The second reading: compares texts whose bands were repeated with those before them. */
export class NearDuplicates {
  readonly #isRepeated: (key: number) => boolean
  #signatures = new Uint16Array(BINS * 256)
  #samples = new Uint32Array(256)
  #compared = new Uint32Array(256)
  /** Next text with the same band key, by text and band; -1 at the end. */
  #next = new Int32Array(BANDS * 256)
  readonly #heads = new KeyTable()
  #count = 0
  #stamp = 0
  /** Texts that could not be kept for comparison. */
  refused = 0

  constructor(isRepeated: (key: number) => boolean) {
    this.#isRepeated = isRepeated
  }

  /** The index of the earlier sample that this one nearly equals and how similar they are; else keeps this one for comparison. */
  match(sample: number, words: Uint32Array, salt: number): { sample: number; similarity: number } | undefined {
    const keys = bandsOf(words, salt)
    if (keys === undefined) return undefined
    let hits = 0
    for (const key of keys) if (this.#isRepeated(key)) hits++
    if (hits < MIN_BANDS) return undefined
    this.#stamp++
    for (let band = 0; band < BANDS; band++) {
      let other = this.#heads.get(keys[band]!)
      for (let n = 0; other !== -1 && n < MOST_COMPARED; n++) {
        if (this.#compared[other] !== this.#stamp) {
          this.#compared[other] = this.#stamp
          const similarity = this.#similarity(other)
          if (similarity >= NEAR_THRESHOLD) return { sample: this.#samples[other]!, similarity }
        }
        other = this.#next[other * BANDS + band]!
      }
    }
    this.#keep(sample, keys)
    return undefined
  }

  /** Jaccard similarity estimated from the bins that at least one of both texts fills (standard error 0.035 for long texts). */
  #similarity(other: number): number {
    let same = 0
    let used = 0
    for (let bin = 0, at = other * BINS; bin < BINS; bin++, at++) {
      const mine = toStored(minima[bin]!)
      const its = this.#signatures[at]!
      if (mine === 0 && its === 0) continue
      used++
      if (mine === its) same++
    }
    return used === 0 ? 0 : same / used
  }

  #keep(sample: number, keys: Uint32Array): void {
    if (this.#count >= REPRESENTATIVES) {
      this.refused++
      return
    }
    const index = this.#count++
    if (index >= this.#samples.length) {
      this.#samples = grown(this.#samples, 0)
      this.#compared = grown(this.#compared, 0)
      this.#next = grown(this.#next, 0)
      this.#signatures = grown(this.#signatures, 0)
    }
    this.#samples[index] = sample
    for (let bin = 0; bin < BINS; bin++) this.#signatures[index * BINS + bin] = toStored(minima[bin]!)
    for (let band = 0; band < BANDS; band++) this.#next[index * BANDS + band] = this.#heads.swap(keys[band]!, index)
  }
}

/** 16 bits of a minimum; 0 is an empty bin. */
function toStored(minimum: number): number {
  return minimum === NONE ? 0 : (minimum % 0xffff) + 1
}

/** Numbers by 32-bit key, in typed arrays. */
export class KeyTable {
  #keys = new Uint32Array(1 << 12)
  /** The number plus 1; 0 is an empty slot. */
  #values = new Uint32Array(1 << 12)
  #size = 0

  /** -1 when the key is not in. */
  get(key: number): number {
    return this.#values[this.#slot(key)]! - 1
  }

  /** Stores a number and gives the one before it, or -1. */
  swap(key: number, value: number): number {
    if (this.#size * 5 > this.#keys.length * 4) this.#grow()
    const slot = this.#slot(key)
    const before = this.#values[slot]! - 1
    if (before === -1) this.#size++
    this.#keys[slot] = key
    this.#values[slot] = value + 1
    return before
  }

  get size(): number {
    return this.#size
  }

  #slot(key: number): number {
    const mask = this.#keys.length - 1
    let slot = mix(key) & mask
    while (this.#values[slot] !== 0 && this.#keys[slot] !== key) slot = (slot + 1) & mask
    return slot
  }

  #grow(): void {
    const keys = this.#keys
    const values = this.#values
    this.#keys = new Uint32Array(keys.length * 2)
    this.#values = new Uint32Array(keys.length * 2)
    for (const [i, key] of keys.entries()) {
      if (values[i] === 0) continue
      const slot = this.#slot(key)
      this.#keys[slot] = key
      this.#values[slot] = values[i]!
    }
  }
}
