/** Reviews a text piece by piece: findings that quote a line which is really there, each once. */
import * as z from 'zod'
import { HubError } from '../lib/error.ts'
import type { AskModel } from './ask.ts'
import { unfence } from './code.ts'

export const CATEGORIES = ['bug', 'security', 'performance', 'style'] as const
export const SEVERITIES = ['error', 'warning', 'info'] as const

export type Finding = {
  /** From 0. */
  line: number
  severity: (typeof SEVERITIES)[number]
  category: (typeof CATEGORIES)[number]
  reason: string
  /** Lines that could stand in for the line, without its indentation; undefined for no suggestion. */
  replacement?: string
}

export type ReviewInput = {
  path: string
  language: string
  text: string
  /** Lines that are reviewed, from 0, `to` left out; all by default. What is around them is shown to the model too. */
  lines?: { from: number; to: number }[]
}

const Answer = z.object({
  findings: z
    .array(
      z.object({
        quote: z.string().max(240).describe('The faulty line, copied exactly.'),
        severity: z.enum(SEVERITIES),
        category: z.enum(CATEGORIES),
        reason: z.string().max(300).describe('What is wrong, and when it shows.'),
        replacement: z.string().max(400).describe('The corrected line; empty when it takes more than a line.'),
      }),
    )
    .max(8),
})

const SYSTEM =
  'You review code. Report only real problems: bugs, security holes, slow code, bad style, in this order of importance. Answer with JSON: "findings" is a list, empty when the code is fine. "quote" is the faulty line copied exactly, "replacement" the corrected line or "".'

const CONTEXT_LINES = 8
const MOST_PIECE_LINES = 160
const LONGEST_LINE = 1000
const ANSWER_TOKENS = 900

/**
 * @returns findings in the order of their lines; `dropped` counts those that quoted what is not there
 * @throws HubError of the model
 */
export async function review(
  ask: AskModel,
  input: ReviewInput,
  prose: 'en' | 'vi',
  signal: AbortSignal,
): Promise<{ findings: Finding[]; dropped: number }> {
  const lines = input.text.split(/\r?\n/)
  const context = await ask.contextTokens(signal)
  // Code has about three characters a token; half of the context is for the answer and the instructions.
  const most = Math.max(600, (context - Math.min(ANSWER_TOKENS, context / 2) - 300) * 2.5)
  const found: Finding[] = []
  let dropped = 0
  const only = input.lines !== undefined
  const judge = async (from: number, to: number): Promise<void> => {
    const first = Math.max(0, from - (only ? CONTEXT_LINES : 0))
    const end = Math.min(lines.length, to + (only ? CONTEXT_LINES : 0))
    const isJudged = (line: number): boolean => from <= line && line < to
    const shown = lines
      .slice(first, end)
      .map((line, index) => (only ? (isJudged(first + index) ? '+' : ' ') : '') + line.slice(0, LONGEST_LINE))
      .join('\n')
    const marks = only ? 'Review the lines marked with + only.\n' : ''
    const question = {
      system: SYSTEM + (prose === 'vi' ? ' Write "reason" in Vietnamese.' : ''),
      parts: [`File ${input.path} (${input.language}):\n\`\`\`\n${shown}\n\`\`\`\n${marks}`],
      maxTokens: ANSWER_TOKENS,
    }
    try {
      const piece = await ask.json(question, Answer, answer => check(answer, lines, from, to, only), signal)
      found.push(...piece.findings)
      dropped += piece.dropped
    } catch (thrown) {
      // Some texts have more tokens than code has.
      if (HubError.from(thrown).code !== 'context_length_exceeded' || to - from < 2) throw thrown
      const middle = Math.ceil((from + to) / 2)
      await judge(from, middle)
      await judge(middle, to)
    }
  }
  for (const { from, to } of pieces(lines, input.lines ?? [{ from: 0, to: lines.length }], most)) await judge(from, to)
  return { findings: merge(found), dropped }
}

function check(
  { findings }: z.infer<typeof Answer>,
  lines: readonly string[],
  from: number,
  to: number,
  marked: boolean,
): { findings: Finding[]; dropped: number } {
  const kept: Finding[] = []
  for (const { quote, severity, category, reason, replacement } of findings) {
    const line = lineOf(quote, lines, from, to, marked)
    const why = reason.replaceAll(/\s+/g, ' ').trim()
    if (line === undefined || !/\p{L}{2}/u.test(why)) continue
    const better = suggestion(replacement, lines[line]!, marked)
    kept.push({ line, severity, category, reason: why, ...(better !== undefined && { replacement: better }) })
  }
  return { findings: kept, dropped: findings.length - kept.length }
}

/** The line that a quote is of: the same but for white space, else the one that holds it. */
function lineOf(
  quote: string,
  lines: readonly string[],
  from: number,
  to: number,
  marked: boolean,
): number | undefined {
  const wanted = squeeze(
    unmark(
      unfence(quote)
        .split('\n')
        .find(line => line.trim() !== '') ?? '',
      marked,
    ),
  )
  // A bracket alone says nothing.
  if (!/[\p{L}\p{N}]/u.test(wanted)) return undefined
  for (let line = from; line < to; line++) if (squeeze(lines[line]!) === wanted) return line
  if (wanted.length < 8) return undefined
  for (let line = from; line < to; line++) if (squeeze(lines[line]!).includes(wanted)) return line
  return undefined
}

/** Without the plus of a marked line. */
function unmark(line: string, marked: boolean): string {
  return marked ? line.replace(/^\s*\+/, '') : line
}

const squeeze = (line: string): string => line.replaceAll(/\s+/g, ' ').trim()

function suggestion(replacement: string, line: string, marked: boolean): string | undefined {
  const given = unfence(replacement)
    .replaceAll('\r\n', '\n')
    .split('\n')
    .map(each => unmark(each, marked))
    .join('\n')
    .trim()
  return given === '' || squeeze(given) === squeeze(line) ? undefined : given
}

/** One finding for each line and category, the gravest. */
function merge(findings: readonly Finding[]): Finding[] {
  const byPlace = new Map<string, Finding>()
  for (const finding of findings) {
    const key = `${finding.line} ${finding.category}`
    const other = byPlace.get(key)
    if (other === undefined) {
      byPlace.set(key, finding)
      continue
    }
    const [grave, light] =
      SEVERITIES.indexOf(finding.severity) < SEVERITIES.indexOf(other.severity) ? [finding, other] : [other, finding]
    const replacement = grave.replacement ?? light.replacement
    byPlace.set(key, { ...grave, ...(replacement !== undefined && { replacement }) })
  }
  return [...byPlace.values()].sort((a, b) => a.line - b.line)
}

/** The wanted lines in pieces that a model can take in at once. */
function* pieces(
  lines: readonly string[],
  wanted: readonly { from: number; to: number }[],
  mostCharacters: number,
): Generator<{ from: number; to: number }> {
  for (const range of wanted) {
    let from = Math.max(0, range.from)
    const last = Math.min(lines.length, range.to)
    while (from < last) {
      let characters = 0
      let to = from
      while (to < last && to - from < MOST_PIECE_LINES) {
        characters += Math.min(LONGEST_LINE, lines[to]!.length) + 1
        if (characters > mostCharacters && to > from) break
        to++
      }
      // Better to end where a paragraph does.
      if (to < last) {
        for (let cut = to; cut > from + (to - from) / 2; cut--) {
          if (lines[cut - 1]!.trim() === '' || /^\S/.test(lines[cut] ?? '')) {
            to = cut
            break
          }
        }
      }
      if (lines.slice(from, to).some(line => /[\p{L}\p{N}]/u.test(line))) yield { from, to }
      from = to
    }
  }
}
