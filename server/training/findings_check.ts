/** Repairs and masks one sample as the filters say, and notes every fault that the sample shows by itself. */
import type { FindingId } from '../wire/quality.ts'
import type { Sample } from '../wire/sample.ts'
import { isDecoding, repairText } from './mojibake.ts'
import { findRepetition, findTruncation } from './repetition.ts'
import { findRoleFault } from './role_order.ts'
import { answersOf, contentOf, groupsOf, isLearned, withGroups } from './sample_text.ts'
import { maskSecrets } from './secrets.ts'

/** What was found: how often of each kind, and what is wrong in words. */
export type Found = { kinds?: { [kind: string]: number }; note?: string }

export type Prepared = {
  /** The sample as the filters leave it, unless one of them drops it. */
  sample: Sample
  changed: boolean
  found: Map<FindingId, Found>
}

/** Repairs and masks. Deterministic, and doing it twice is doing it once. */
export function prepare(sample: Sample, on: (finding: FindingId) => boolean): Prepared {
  const found: Prepared['found'] = new Map()
  const choice = { mojibake: on('mojibake'), not_nfc: on('not_nfc'), control_characters: on('control_characters') }
  const groups = groupsOf(sample)
  const repaired = groups.map(group =>
    group.map(text => {
      const repair = repairText(text, choice)
      for (const kind of repair.repaired) count(found, findingOf(kind), kind)
      if (repair.uncertain) found.set('mojibake_uncertain', {})
      return repair.text
    }),
  )
  const masked = maskSecrets(repaired, on)
  for (const [finding, kinds] of masked.found) found.set(finding, { kinds })
  const changed = groups.some((group, g) => group.some((text, t) => text !== masked.groups[g]![t]))
  return { sample: changed ? withGroups(sample, masked.groups) : sample, changed, found }
}

function findingOf(kind: string): FindingId {
  if (isDecoding(kind)) return 'mojibake'
  return kind === 'not_nfc' ? 'not_nfc' : 'control_characters'
}

function count(found: Prepared['found'], id: FindingId, kind: string): void {
  const kinds = found.get(id)?.kinds ?? {}
  kinds[kind] = (kinds[kind] ?? 0) + 1
  found.set(id, { kinds })
}

/** Adds the faults of the prepared sample's texts and roles to what was found. */
export function checkSample({ sample, found }: Prepared): void {
  const answers = answersOf(sample)
  if (contentOf(sample).every(isBlank)) found.set('empty', {})
  else if (sample.kind !== 'text' && !hasAnswer(sample, answers)) found.set('no_answer', {})
  const role = findRoleFault(sample)
  if (role !== undefined && !found.has('no_answer')) found.set('role_order', { note: role })
  const lost = groupsOf(sample).reduce((sum, group) => sum + group.reduce((n, text) => n + lostCharacters(text), 0), 0)
  if (lost > 0) found.set('replacement_characters', { kinds: { characters: lost } })
  for (const answer of answers) {
    const repetition = findRepetition(answer)
    if (repetition === undefined) continue
    found.set('repetition', { note: repetition })
    break
  }
  const truncation = truncationOf(sample, answers)
  if (truncation !== undefined) found.set('truncated', { note: truncation })
}

/** Only what is an answer has an end; texts and the middles of files are cut anywhere. */
function truncationOf(sample: Sample, answers: string[]): string | undefined {
  if (sample.kind === 'chat') return findTruncation(answers.at(-1) ?? '')
  if (sample.kind === 'completion') return findTruncation(sample.completion)
  return sample.kind === 'preference' ? findTruncation(sample.chosen) : undefined
}

function hasAnswer(sample: Sample, answers: string[]): boolean {
  if (sample.kind === 'preference') return answers.every(answer => !isBlank(answer))
  if (sample.kind === 'chat' && sample.messages.some(message => isLearned(message) && message.tool_calls?.length))
    return true
  return answers.some(answer => !isBlank(answer))
}

function isBlank(text: string): boolean {
  return text.trim() === ''
}

/** U+FFFD that stands for a lost letter; one in quotes is meant. */
function lostCharacters(text: string): number {
  if (!text.includes('\ufffd')) return 0
  return text.replace(/(["'`])\ufffd\1/g, '').split('\ufffd').length - 1
}
