/** The training of this hub. */
import type { Parts } from '../parts.ts'

export function TrainingTab(_parts: Parts) {
  return null
}
