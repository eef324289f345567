/** The door behind which a page in a panel speaks: messages are checked before anything is done, and no address is called but the hub's own. */
import type { FromPanel } from '../server/wire/panel.ts'

/** Longest text that a page sends or keeps, in UTF-16 units: what no chat or file reaches. */
const MAX_TEXT = 16 * 2 ** 20
const MAX_NAME = 4096
/** Largest file that a page gives to the hub, in bytes; a larger one is put into the hub's home. */
const MAX_UPLOAD = 512 * 2 ** 20
/** Answers that are written at the same time. */
const MOST_LETTERS = 16

const METHODS = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'] as const
const PAGES = ['chat', 'dashboard', 'docs'] as const

/** What the pages ask for outside /v1. */
const MORE_PATHS = ['/health', '/apply-template', '/tokenize', '/detokenize']

/** The message with what its kind has and no more; undefined for anything else. */
export function readMessage(value: unknown): FromPanel | undefined {
  if (typeof value !== 'object' || value === null) return undefined
  const { type, ...rest } = value as { [name: string]: unknown }
  const { id, text, file, route, key } = rest
  switch (type) {
    case 'request': {
      const { path, body, stream } = rest
      const method = METHODS.find(each => each === rest.method)
      if (!isId(id) || method === undefined || !isText(path, MAX_NAME) || typeof stream !== 'boolean') return undefined
      return { type, id, method, path, stream, ...(body !== undefined && { body }) }
    }
    case 'upload': {
      const { filename, bytes } = rest
      if (!isId(id) || !isText(filename, MAX_NAME)) return undefined
      return bytes instanceof ArrayBuffer && bytes.byteLength <= MAX_UPLOAD ? { type, id, filename, bytes } : undefined
    }
    case 'cancel':
      return isId(id) ? { type, id } : undefined
    case 'listen':
      return { type }
    case 'insert':
    case 'copy':
      return isText(text) ? { type, text } : undefined
    case 'apply': {
      const { language } = rest
      if (!isText(text) || !isText(language, MAX_NAME)) return undefined
      if (file !== undefined && !isText(file, MAX_NAME)) return undefined
      return { type, text, language, ...(file !== undefined && { file }) }
    }
    case 'save': {
      const { filename, content } = rest
      return isText(filename, MAX_NAME) && isText(content) ? { type, filename, content } : undefined
    }
    case 'leave': {
      const { letters } = rest
      if (!Array.isArray(letters) || letters.length > MOST_LETTERS) return undefined
      const read = letters.map(readLetter)
      return read.every(letter => letter !== undefined) ? { type, letters: read } : undefined
    }
    case 'open': {
      const page = PAGES.find(each => each === rest.page)
      if (page === undefined || (route !== undefined && !isText(route, MAX_NAME))) return undefined
      return { type, page, ...(route !== undefined && { route }) }
    }
    case 'keep': {
      const { value: kept, own, at } = rest
      if (!isText(key, MAX_NAME) || (kept !== undefined && !isText(kept))) return undefined
      if (typeof own !== 'boolean' || typeof at !== 'number' || !Number.isFinite(at)) return undefined
      return { type, key, ...(kept !== undefined && { value: kept }), own, at }
    }
    default:
      return undefined
  }
}

/**
 * The path with its query, as the hub will read it; undefined where it leads anywhere else than to the hub's API.
 * @param base the hub's address, `http://127.0.0.1:8000`
 */
export function apiPath(base: string, path: string): string | undefined {
  // A URL drops line ends and turns backslashes: only what stays as it was written is taken.
  if (!/^\/[^\s\\#\p{Cc}]*$/u.test(path)) return undefined
  if (!URL.canParse(base + path)) return undefined
  const root = new URL(base)
  const { origin, pathname, search, username, password } = new URL(base + path)
  if (origin !== root.origin || username !== root.username || password !== root.password) return undefined
  const prefix = root.pathname.replace(/\/$/, '')
  if (!pathname.startsWith(prefix)) return undefined
  const own = pathname.slice(prefix.length)
  return own.startsWith('/v1/') || MORE_PATHS.includes(own) ? own + search : undefined
}

/** A name that is one file in the folder that the user chooses, on every system. */
export function fileName(wanted: string): string {
  const bare = wanted
    .replace(/[\p{Cc}\p{Cf}<>:"/\\|?*]+/gu, '-')
    .replace(/^[.\s-]+|[.\s]+$/g, '')
    .slice(0, 120)
  return bare === '' ? 'chat' : bare
}

function readLetter(value: unknown): { path: string; body: unknown } | undefined {
  if (typeof value !== 'object' || value === null) return undefined
  const { path, body } = value as { [name: string]: unknown }
  return isText(path, MAX_NAME) ? { path, body } : undefined
}

function isId(value: unknown): value is number {
  return Number.isSafeInteger(value)
}

function isText(value: unknown, most: number = MAX_TEXT): value is string {
  return typeof value === 'string' && value.length <= most
}
