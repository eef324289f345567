/** A commit message and a branch name for staged changes. */
import * as z from 'zod'
import { HubError } from '../lib/error.ts'
import { type Ask, type AskModel, unusable } from './ask.ts'

export type Staged = {
  /** Unified diff. */
  diff: string
  /** Changed files, one a line, with how they changed. */
  summary: string
  /** Subjects of the newest commits, whose style is followed. */
  subjects: string[]
}

const Message = z.object({
  subject: z.string().min(3).max(100).describe('What the change does, as an order: "Add ..."; no full stop.'),
  body: z.string().max(600).describe('Why, in one to three sentences; empty for a small change.'),
})

const MESSAGE_SYSTEM =
  'You write git commit messages. Answer with JSON: "subject" says what the change does in at most 72 characters, "body" says why, or is "". Follow the style of the earlier subjects.'

/** @throws HubError invalid_request when nothing is staged, unusable_answer */
export async function commitMessage(ask: AskModel, staged: Staged, signal: AbortSignal): Promise<string> {
  return ask.json(
    toAsk(staged, MESSAGE_SYSTEM, 300),
    Message,
    ({ subject, body }) => {
      const title = (subject.trim().split('\n', 1)[0] ?? '').replace(/[.\s]+$/, '')
      if (!/\p{L}/u.test(title)) throw unusable('The model wrote no commit message. Ask again.')
      const reason = body.replaceAll(/\s+/g, ' ').trim()
      const repeats = reason === '' || reason.toLowerCase().replace(/\.$/, '') === title.toLowerCase()
      return repeats ? shorten(title) : `${shorten(title)}\n\n${wrap(reason, 72)}`
    },
    signal,
  )
}

const Branch = z.object({
  kind: z.enum(['feature', 'fix', 'docs', 'refactor', 'test', 'chore']),
  words: z.string().min(3).max(60).describe('Two to five lower case words joined by hyphens.'),
})

const BRANCH_SYSTEM =
  'You name git branches. Answer with JSON: "kind" of the change, and "words": two to five English words that say what it does, lower case, joined by hyphens.'

/** @returns like `fix/empty-home-folder` @throws HubError as commitMessage does */
export async function branchName(ask: AskModel, staged: Staged, signal: AbortSignal): Promise<string> {
  return ask.json(
    toAsk(staged, BRANCH_SYSTEM, 60),
    Branch,
    ({ kind, words }) => {
      const slug = words
        .replaceAll(/[đĐ]/g, 'd')
        .normalize('NFD')
        .toLowerCase()
        .replaceAll(/\p{M}/gu, '')
        .replaceAll(/[^a-z0-9]+/g, '-')
        .split('-')
        .filter(word => word !== '' && word !== kind)
        .slice(0, 6)
        .join('-')
      if (!/[a-z]/.test(slug)) throw unusable('The model named no branch. Ask again.')
      return `${kind}/${slug}`
    },
    signal,
  )
}

function toAsk({ diff, summary, subjects }: Staged, system: string, maxTokens: number): Ask {
  if (diff.trim() === '' && summary.trim() === '') {
    throw new HubError('invalid_request', 'Nothing is staged. Stage the changes with "git add" first.')
  }
  const earlier = subjects.length === 0 ? '' : `Earlier subjects:\n${subjects.slice(0, 8).join('\n')}\n\n`
  return {
    system,
    parts: [
      earlier,
      'Changed files:\n',
      { text: summary.slice(0, 4000), lose: 'end' },
      '\n\nDiff:\n```diff\n',
      { text: diff.slice(0, 24_000), lose: 'end' },
      '\n```\n',
    ],
    maxTokens,
  }
}

/** At most 72 characters, by whole words. */
function shorten(title: string): string {
  if (title.length <= 72) return title
  const space = title.lastIndexOf(' ', 72)
  return title.slice(0, space > 40 ? space : 72)
}

function wrap(text: string, width: number): string {
  const lines: string[] = []
  for (const word of text.split(' ')) {
    const line = lines.at(-1)
    if (line !== undefined && line.length + 1 + word.length <= width) lines[lines.length - 1] = `${line} ${word}`
    else lines.push(word)
  }
  return lines.join('\n')
}
