/** The list of faults that are looked for, in the order in which a sample with several of them is counted. */
import type { FindingAction, FindingId } from '../wire/quality.ts'

export type FindingKind = {
  title: string
  severity: 'error' | 'warning' | 'info'
  action: FindingAction
  /** Whether its filter is on when nobody says anything. */
  on: boolean
}

/**
 * Filters are on where nothing of use is lost (doubles, empty samples) or where harm would be learned (secrets, loops,
 * lost characters); what is a matter of taste or of the model is reported only.
 */
export const FINDINGS: { [id in FindingId]: FindingKind } = {
  empty: { title: 'No text at all', severity: 'error', action: 'drop', on: true },
  no_answer: { title: 'Prompt without an answer', severity: 'error', action: 'drop', on: true },
  contamination: { title: 'Also in the held-out part', severity: 'error', action: 'drop', on: true },
  replacement_characters: {
    title: 'Characters lost in an earlier conversion (U+FFFD)',
    severity: 'error',
    action: 'drop',
    on: true,
  },
  duplicate_exact: { title: 'Same text as an earlier sample', severity: 'warning', action: 'drop', on: true },
  duplicate_near: { title: 'Nearly the same as an earlier sample', severity: 'warning', action: 'drop', on: true },
  repetition: { title: 'Answer repeats itself', severity: 'warning', action: 'drop', on: true },
  secret: { title: 'Keys, tokens and passwords', severity: 'error', action: 'mask', on: true },
  payment: { title: 'Card numbers and bank accounts', severity: 'error', action: 'mask', on: true },
  email: { title: 'E-mail addresses', severity: 'warning', action: 'mask', on: true },
  phone: { title: 'Phone numbers', severity: 'warning', action: 'mask', on: true },
  mojibake: { title: 'Text decoded wrongly, repairable with certainty', severity: 'error', action: 'repair', on: true },
  control_characters: {
    title: 'Control characters and broken surrogates',
    severity: 'warning',
    action: 'repair',
    on: true,
  },
  not_nfc: { title: 'Letters and accents not composed (NFC)', severity: 'warning', action: 'repair', on: true },
  mojibake_uncertain: {
    title: 'Perhaps decoded wrongly, left as it is',
    severity: 'warning',
    action: 'drop',
    on: false,
  },
  role_order: { title: 'Roles in an order that chat templates refuse', severity: 'warning', action: 'drop', on: false },
  truncated: { title: 'Answer seems cut off', severity: 'warning', action: 'drop', on: false },
  too_long: { title: 'Longer than the context', severity: 'warning', action: 'drop', on: false },
  too_short: { title: 'Very short answer', severity: 'info', action: 'drop', on: false },
  perplexity: { title: 'Unusual for the base model (perplexity)', severity: 'info', action: 'report', on: false },
}

export const FINDING_IDS = Object.keys(FINDINGS) as FindingId[]
