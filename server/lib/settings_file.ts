/** Reads settings.json of home, the settings that the user wrote by hand. */
import { readFileSync } from 'node:fs'
import { HubError } from './error.ts'

/**
 * The object in the file; an absent or empty file is {}. Its values are not checked here.
 * @throws HubError invalid_request when it cannot be read or is no JSON object, naming the file and the place
 */
export function readSettingsFile(path: string): { [name: string]: unknown } {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return {}
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new HubError('invalid_request', `The settings file ${path} cannot be read: ${reason}.`, { cause })
  }
  // Editors on Windows begin a UTF-8 file with a byte order mark.
  const body = text.replace(/^\uFEFF/, '').trim()
  if (body === '') return {}
  let value: unknown
  try {
    value = JSON.parse(body)
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new HubError('invalid_request', `The settings file ${path} is not valid JSON: ${reason}. Correct it.`, {
      cause,
    })
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new HubError('invalid_request', `The settings file ${path} must hold one JSON object, {"port": 8000} say.`)
  }
  return { ...value }
}
