/** API keys: made from randomness, told once and kept as a hash; and which of them a caller has shown. */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'
import { HubError } from '../lib/error.ts'
import type { Database } from '../storage/database.ts'
import {
  deleteKey,
  findKey,
  insertKey,
  type KeyChanges,
  listKeys,
  readKey,
  type StoredKey,
  updateKey,
} from '../storage/keys.ts'
import type { ApiKey, ApiKeyCreated, ApiKeyRequest, ApiKeyUpdate } from '../wire/keys.ts'

export const KEY_PREFIX = 'sk-hub-'
const SECRET_BYTES = 32
/** Letters of a key, behind the prefix and at its end, that may be shown: some 200 bits stay hidden. */
const SHOWN = 4

export type KeysDeps = {
  db: Database
  /** Unix milliseconds. */
  now(): number
  /** That many random bytes; of the system by default. */
  random?: (bytes: number) => Buffer
}

/** @throws HubError invalid_request for an end that has passed */
export function createKey({ db, now, random = randomBytes }: KeysDeps, request: ApiKeyRequest): ApiKeyCreated {
  const { name, role, training, requests_per_minute: requestsPerMinute } = request
  const value = `${KEY_PREFIX}${random(SECRET_BYTES).toString('base64url')}`
  const key: StoredKey = {
    id: `key_${random(12).toString('hex')}`,
    hash: hashOf(value),
    first: value.slice(0, KEY_PREFIX.length + SHOWN),
    last: value.slice(-SHOWN),
    name,
    role,
    training,
    requestsPerMinute,
    createdMs: now(),
    expiresMs: toExpiry(request.expires_at, now()),
    lastUsedMs: null,
  }
  insertKey(db, key)
  return { ...toApiKey(key), value }
}

export function listApiKeys({ db }: KeysDeps): ApiKey[] {
  return listKeys(db).map(toApiKey)
}

/** @throws HubError not_found */
export function getKey({ db }: KeysDeps, id: string): ApiKey {
  const key = readKey(db, id)
  if (key === undefined) throw missing(id)
  return toApiKey(key)
}

/** @throws HubError not_found, invalid_request for an end that has passed */
export function changeKey({ db, now }: KeysDeps, id: string, update: ApiKeyUpdate): ApiKey {
  const { name, role, training, requests_per_minute: limit, expires_at: end } = update
  const changes: KeyChanges = {
    ...(name !== undefined && { name }),
    ...(role !== undefined && { role }),
    ...(training !== undefined && { training }),
    ...(limit !== undefined && { requestsPerMinute: limit }),
    ...(end !== undefined && { expiresMs: toExpiry(end, now()) }),
  }
  const changed = updateKey(db, id, changes)
  if (changed === undefined) throw missing(id)
  return toApiKey(changed)
}

/** @throws HubError not_found */
export function removeKey({ db }: KeysDeps, id: string): void {
  if (!deleteKey(db, id)) throw missing(id)
}

/** How many keys open the door now. */
export function countValidKeys({ db, now }: KeysDeps): number {
  return listKeys(db).filter(key => !isExpired(key, now())).length
}

/** The key that was shown. @throws HubError invalid_api_key when it is not known, or no longer valid */
export function identify({ db, now }: KeysDeps, value: string): StoredKey {
  const hash = hashOf(value)
  const key = findKey(db, hash)
  // The index finds a hash by its letters; who shows a key cannot choose its hash, and the last word has a comparison that tells no time.
  if (key === undefined || !isSame(key.hash, hash)) {
    throw new HubError(
      'invalid_api_key',
      'This API key is not known here; it may have been deleted. "ai-hub keys" lists the keys.',
    )
  }
  if (isExpired(key, now())) {
    throw new HubError(
      'invalid_api_key',
      `The API key '${key.name}' was valid until ${new Date(key.expiresMs ?? 0).toISOString()}. Make another with "ai-hub keys create".`,
    )
  }
  return key
}

export function toApiKey(key: StoredKey): ApiKey {
  const { id, name, role, training, requestsPerMinute, createdMs, expiresMs, lastUsedMs } = key
  return {
    object: 'api_key',
    id,
    name,
    role,
    redacted_value: `${key.first}...${key.last}`,
    created_at: toSeconds(createdMs),
    last_used_at: lastUsedMs === null ? null : toSeconds(lastUsedMs),
    expires_at: expiresMs === null ? null : toSeconds(expiresMs),
    training,
    requests_per_minute: requestsPerMinute,
  }
}

/** Compares two texts in a time that tells nothing of either. */
export function isSame(a: string, b: string): boolean {
  return timingSafeEqual(digest(a), digest(b))
}

const digest = (text: string): Buffer => createHash('sha256').update(text).digest()
const hashOf = (value: string): string => digest(value).toString('hex')
const toSeconds = (ms: number): number => Math.floor(ms / 1000)
const isExpired = ({ expiresMs }: StoredKey, nowMs: number): boolean => expiresMs !== null && expiresMs <= nowMs

function toExpiry(seconds: number | null, nowMs: number): number | null {
  if (seconds === null) return null
  const ms = seconds * 1000
  if (ms <= nowMs) {
    throw new HubError('invalid_request', "'expires_at' has passed already; give Unix seconds of a time to come.", {
      param: 'expires_at',
    })
  }
  return ms
}

function missing(id: string): HubError {
  return new HubError('not_found', `There is no API key '${id}'. "ai-hub keys" lists them.`, { param: 'id' })
}
