/** Finds secrets and personal data in texts, and masks them with placeholders that tell equal ones from different ones. */
import { findEmails } from './emails.ts'
import { ASSIGNED, NUMBERS, PREFIXED, PREFIXES, type SecretFinding, type SecretKind } from './secret_kinds.ts'

/** A secret at `start` to `end` (UTF-16 units) of the text. */
export type Secret = { finding: SecretFinding; kind: string; start: number; end: number }

/** The secrets of a text in their order, none overlapping another; where two patterns match the same place, the surer one wins. */
export function findSecrets(text: string): Secret[] {
  const found: Secret[] = []
  if (PREFIXES.test(text)) for (const kind of PREFIXED) search(text, kind, found)
  if (/[:=]|\s(?:is|là)\s/.test(text)) for (const kind of ASSIGNED) search(text, kind, found)
  if (text.includes('@')) for (const { start, end } of findEmails(text)) add(found, 'email', 'email', start, end)
  if (/\d[\d .)-]{6}/.test(text)) for (const kind of NUMBERS) search(text, kind, found)
  return found.sort((a, b) => a.start - b.start)
}

function search(text: string, { kind, finding, pattern, accept }: SecretKind, found: Secret[]): void {
  pattern.lastIndex = 0
  for (let match = pattern.exec(text); match !== null; match = pattern.exec(text)) {
    const value = match.groups?.value ?? match[0]
    if (accept !== undefined && !accept(value, match)) {
      // A refused match may hide a true one that begins inside of it.
      pattern.lastIndex = match.index + 1
      continue
    }
    const start = match.index + (match.groups?.value === undefined ? 0 : match[0].lastIndexOf(value))
    add(found, finding, kind, start, start + value.length)
  }
}

function add(found: Secret[], finding: SecretFinding, kind: string, start: number, end: number): void {
  if (found.every(other => end <= other.start || start >= other.end)) found.push({ finding, kind, start, end })
}

export type Masked = {
  groups: string[][]
  /** How often each kind was found, by finding. */
  found: Map<SecretFinding, { [kind: string]: number }>
}

/**
 * Masks what `masks` says in all texts of a sample. The same value gets the same placeholder, `<EMAIL_1>`, wherever it
 * stands in the sample, also where it would not be recognised alone. The texts of one group are read as one text.
 */
export function maskSecrets(groups: string[][], masks: (finding: SecretFinding) => boolean): Masked {
  const found: Masked['found'] = new Map()
  const names = new Map<string, string>()
  const numbers = new Map<string, number>()
  const nameOf = (value: string, kind: string): string => {
    let name = names.get(value)
    if (name === undefined) {
      numbers.set(kind, (numbers.get(kind) ?? 0) + 1)
      name = `<${kind.toUpperCase()}_${numbers.get(kind)}>`
      names.set(value, name)
    }
    return name
  }
  let now = groups
  // Where two secrets touch, the second is seen when the first is gone.
  for (let round = 0; round < MOST_ROUNDS; round++) {
    let masked = 0
    now = now.map(group => {
      const text = group.length === 1 ? group[0]! : group.join('')
      const spans: Span[] = []
      for (const { finding, kind, start, end } of findSecrets(text)) {
        const masking = masks(finding)
        if (masking || round === 0) count(found, finding, kind)
        if (masking) spans.push({ start, end, name: nameOf(text.slice(start, end), kind) })
      }
      masked += spans.length
      return spans.length === 0 ? group : cut(group, spans)
    })
    if (masked === 0) break
    now = maskRepeats(now, names)
  }
  return { groups: now, found }
}

const MOST_ROUNDS = 8

function count(found: Masked['found'], finding: SecretFinding, kind: string): void {
  const kinds = found.get(finding) ?? {}
  kinds[kind] = (kinds[kind] ?? 0) + 1
  found.set(finding, kinds)
}

type Span = { start: number; end: number; name: string }

/** Replaces spans of the joined text; a span over a border leaves its placeholder where it begins. */
function cut(group: string[], spans: Span[]): string[] {
  let offset = 0
  return group.map(text => {
    const from = offset
    offset += text.length
    let out = ''
    let at = 0
    for (const { start, end, name } of spans) {
      if (end <= from || start >= offset) continue
      out += text.slice(at, Math.max(at, start - from))
      if (start >= from) out += name
      at = end - from
    }
    return out + text.slice(at)
  })
}

/** A secret that was recognised by what stood before it is masked at its other places too. */
function maskRepeats(groups: string[][], names: Map<string, string>): string[][] {
  const values = [...names].filter(([value]) => value.length >= 8)
  if (values.length === 0) return groups
  return groups.map(group =>
    group.map(text =>
      values.reduce((now, [value, name]) => (now.includes(value) ? now.split(value).join(name) : now), text),
    ),
  )
}

/** The text with everything masked that is a secret or personal, for messages and examples. */
export function maskAll(text: string): string {
  return maskSecrets([[text]], () => true).groups[0]![0]!
}
