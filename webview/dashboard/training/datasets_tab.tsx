/** The datasets of this hub. */
import type { Parts } from '../parts.ts'

export function DatasetsTab(_parts: Parts) {
  return null
}
