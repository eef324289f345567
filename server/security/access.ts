/** May this caller? What a route needs against the key or token that was shown. */
import { HubError } from '../lib/error.ts'
import type { Log } from '../lib/log.ts'
import { type StoredKey, touchKey } from '../storage/keys.ts'
import type { KeyRole } from '../wire/keys.ts'
import { countValidKeys, identify, isSame, KEY_PREFIX, type KeysDeps } from './keys.ts'
import { createRateLimit } from './rate_limit.ts'

/**
 * What is needed: the role `use`, the role `admin`, or for the door of editors `admin` by key or token even where no
 * key is demanded: it reads files and runs git.
 */
export type Need = 'use' | 'manage' | 'editor'

export type Caller = {
  /** Id of the key; `local` who knows the token of hub.json; `anyone` who showed nothing where nothing is demanded. */
  id: string
  role: KeyRole
  /** Whether chats are kept for training unless the request says otherwise. */
  training: boolean
  /** Milliseconds until the key ends; null for never. */
  leftMs: number | null
}

export const ANYONE: Caller = { id: 'anyone', role: 'admin', training: false, leftMs: null }
const LOCAL: Caller = { ...ANYONE, id: 'local' }

/** The last use is written at most this often. */
const TOUCH_MS = 60_000

export type Access = {
  /** @param shown the key or token, as it came @throws HubError invalid_api_key, forbidden, rate_limit_exceeded */
  admit(shown: string | undefined, need: Need): Caller
  /** Whether a key is demanded now. */
  isDemanded(): boolean
  /** Whether there is a key that would open the door. */
  hasKey(): boolean
  /** Told of every key that is gone or may do something else now. */
  onChange(listener: (id: string) => void): void
  changed(id: string): void
}

export type AccessDeps = KeysDeps & {
  /** Of hub.json: what programs of this user on this machine show. */
  token: string
  isDemanded(): boolean
  log: Log
}

export function createAccess(deps: AccessDeps): Access {
  const limit = createRateLimit(deps.now)
  const listeners: ((id: string) => void)[] = []

  function find(shown: string | undefined, need: Need): Caller {
    if (shown !== undefined && isSame(shown, deps.token)) return LOCAL
    // One of ours is honoured or refused, never passed over, even where no key is demanded.
    if (shown?.startsWith(KEY_PREFIX)) return admitKey(identify(deps, shown))
    if (need === 'editor') {
      throw new HubError(
        'invalid_api_key',
        'The language server wants the token of hub.json or an API key of the role admin: Authorization: Bearer ...',
      )
    }
    if (!deps.isDemanded()) return ANYONE
    throw new HubError(
      'invalid_api_key',
      shown === undefined
        ? 'This hub wants an API key: Authorization: Bearer sk-hub-... Make one with "ai-hub keys create NAME".'
        : `This is no API key of this hub: those begin with ${KEY_PREFIX}. Make one with "ai-hub keys create NAME".`,
    )
  }

  function admitKey(key: StoredKey): Caller {
    const { id, role, training, requestsPerMinute, expiresMs } = key
    const waitMs = requestsPerMinute === null ? 0 : limit.take(id, requestsPerMinute)
    if (waitMs > 0) {
      throw new HubError(
        'rate_limit_exceeded',
        `The API key '${key.name}' may make ${requestsPerMinute} requests a minute; try again in ${Math.ceil(waitMs / 1000)} s.`,
        { retryAfterS: waitMs / 1000 },
      )
    }
    touch(key)
    return { id, role, training, leftMs: expiresMs === null ? null : expiresMs - deps.now() }
  }

  function touch({ id, lastUsedMs }: StoredKey): void {
    const at = deps.now()
    if (lastUsedMs !== null && Math.abs(at - lastUsedMs) < TOUCH_MS) return
    try {
      touchKey(deps.db, id, at)
    } catch (thrown) {
      // A full disk costs the date, not the request.
      deps.log.warn('the last use of a key was not stored', { key: id, reason: HubError.from(thrown).message })
    }
  }

  return {
    admit(shown, need) {
      const caller = find(shown, need)
      if (need !== 'use' && caller.role !== 'admin') {
        throw new HubError('forbidden', "This needs an API key of the role 'admin'; the one that was sent has 'use'.")
      }
      return caller
    },
    isDemanded: deps.isDemanded,
    hasKey: () => countValidKeys(deps) > 0,
    onChange: listener => void listeners.push(listener),
    changed(id) {
      limit.forget(id)
      for (const listener of listeners) listener(id)
    },
  }
}
