/** The adapters of this hub. */
import type { Parts } from '../parts.ts'

export function AdaptersTab(_parts: Parts) {
  return null
}
