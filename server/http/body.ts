/** Reads a JSON body: its content type, size, encoding and nesting are checked before anything looks at it. */
import type { IncomingMessage } from 'node:http'
import { HubError } from '../lib/error.ts'

export const MAX_BODY_BYTES = 32 * 2 ** 20
/** Deeper values would overflow the stack of whoever walks them recursively. */
const MAX_DEPTH = 128

const utf8 = new TextDecoder('utf-8', { fatal: true })

/** @throws HubError unsupported_media_type, payload_too_large, invalid_request, cancelled */
export async function readJson(request: IncomingMessage): Promise<unknown> {
  const type = (request.headers['content-type'] ?? '').split(';', 1)[0]!.trim().toLowerCase()
  if (type !== 'application/json' && !/^application\/[\w.-]+\+json$/.test(type)) {
    throw new HubError('unsupported_media_type', `Send the body as Content-Type: application/json, not '${type}'.`)
  }
  const encoding = request.headers['content-encoding'] ?? 'identity'
  if (encoding !== 'identity') {
    throw new HubError(
      'unsupported_media_type',
      `Send the body uncompressed; Content-Encoding '${encoding}' is not read.`,
    )
  }
  const bytes = await readBytes(request)
  let value: unknown
  try {
    value = JSON.parse(utf8.decode(bytes))
  } catch (cause) {
    const why = cause instanceof SyntaxError ? plainly(cause.message) : 'it is not UTF-8'
    throw new HubError('invalid_request', `The body is not valid JSON: ${why}.`, { cause })
  }
  if (tooDeep(value)) throw new HubError('invalid_request', `The body is nested deeper than ${MAX_DEPTH} levels.`)
  return value
}

/** V8 quotes the text around a mistake; the body is the user's, so only the place is told. */
function plainly(message: string): string {
  const position = /position (\d+)/.exec(message)?.[1]
  if (position !== undefined) return `unexpected character at position ${position}`
  return /end of JSON/i.test(message) ? 'it ends too early' : 'unexpected character'
}

function readBytes(request: IncomingMessage): Promise<Buffer> {
  const tooLarge = (): HubError =>
    new HubError(
      'payload_too_large',
      `The body is larger than ${MAX_BODY_BYTES / 2 ** 20} MiB. Send less in one request.`,
    )
  return new Promise((resolve, reject) => {
    if (Number(request.headers['content-length'] ?? 0) > MAX_BODY_BYTES) {
      reject(tooLarge())
      return
    }
    const chunks: Buffer[] = []
    let size = 0
    const onData = (chunk: Buffer): void => {
      size += chunk.length
      if (size > MAX_BODY_BYTES) {
        request.off('data', onData)
        reject(tooLarge())
      } else chunks.push(chunk)
    }
    request.on('data', onData)
    request.once('end', () => resolve(chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks)))
    request.once('error', () => reject(new HubError('cancelled', 'The client went away before the body was whole.')))
    request.once('close', () => reject(new HubError('cancelled', 'The client went away before the body was whole.')))
  })
}

function tooDeep(value: unknown): boolean {
  let level = [value]
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > MAX_DEPTH) return true
    const next: unknown[] = []
    for (const item of level) {
      if (typeof item !== 'object' || item === null) continue
      for (const child of Array.isArray(item) ? item : Object.values(item)) {
        if (typeof child === 'object' && child !== null) next.push(child)
      }
    }
    level = next
  }
  return false
}
