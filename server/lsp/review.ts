/** aiHub/review: a selection, a file, what is staged, or a branch; its findings become diagnostics, file by file. */
import { extname } from 'node:path'
import { type ReviewInput, review } from '../assistant/review.ts'
import { HubError } from '../lib/error.ts'
import type { ReviewAnswer, ReviewRequest } from '../wire/editor.ts'
import type { Findings } from './diagnostics.ts'
import { localPath, readText } from './files.ts'
import { branchFiles, gitRoot, stagedFiles } from './git.ts'
import type { Running, Session } from './session.ts'

type Item = ReviewInput & { uri: string }

/** @throws HubError invalid_request, and those of git and of the model */
export async function runReview(
  session: Session,
  findings: Findings,
  request: ReviewRequest,
  running: Running,
): Promise<ReviewAnswer> {
  const items = await itemsOf(session, request, running.signal)
  const ask = session.ask({ ...running, report: () => {} })
  const answer: ReviewAnswer = { files: 0, findings: 0, dropped: 0 }
  const unusable: string[] = []
  for (const [index, item] of items.entries()) {
    running.report(item.path, index / items.length)
    try {
      const found = await review(ask, item, session.client.locale, running.signal)
      const now = await textOf(session, item.uri)
      const { shown, dropped } = findings.show(item.uri, found.findings, item.text, now ?? item.text, item.lines)
      answer.files++
      answer.findings += shown
      answer.dropped += found.dropped + dropped
    } catch (thrown) {
      // One file that a small model cannot cope with must not cost the others.
      if (HubError.from(thrown).code !== 'unusable_answer') throw thrown
      unusable.push(item.path)
    }
  }
  if (unusable.length > 0) session.show(session.say('unreviewed', unusable.slice(0, 5).join(', ')))
  return answer
}

async function itemsOf(session: Session, request: ReviewRequest, signal: AbortSignal): Promise<Item[]> {
  if (request.scope === 'selection' || request.scope === 'file') return [await oneFile(session, request)]
  const root = await gitRoot(session.localFolder(request.workspace), signal)
  const files =
    request.scope === 'staged' ? await stagedFiles(root, signal) : await branchFiles(root, request.base, signal)
  if (files.length === 0) {
    const what = request.scope === 'staged' ? 'Nothing is staged' : 'The branch changes nothing'
    throw new HubError('invalid_request', `${what} in ${root} that could be reviewed.`)
  }
  return files.map(({ path, lines, text }) => ({
    uri: session.uriOf(root, path),
    path,
    language: extname(path).slice(1),
    text,
    lines,
  }))
}

async function oneFile(session: Session, { scope, uri, range }: ReviewRequest): Promise<Item> {
  const text = uri === undefined ? undefined : await textOf(session, uri)
  if (uri === undefined || text === undefined) {
    throw new HubError('invalid_request', 'Open a text file to review.', { param: 'uri' })
  }
  const path = session.pathOf(uri)
  const language = session.documents.find(uri)?.languageId ?? extname(path).slice(1)
  if (scope === 'file') return { uri, path, language, text }
  if (range === undefined) throw new HubError('invalid_request', 'Select what is to be reviewed.', { param: 'range' })
  const { start, end } = range
  // A selection that ends at the start of a line leaves that line out.
  const to = end.character === 0 && end.line > start.line ? end.line : end.line + 1
  return { uri, path, language, text, lines: [{ from: start.line, to }] }
}

/** As the editor has it, else as it is on disk. */
async function textOf(session: Session, uri: string): Promise<string | undefined> {
  const document = session.documents.find(uri)
  if (document !== undefined) return document.getText()
  const path = localPath(uri)
  return path === undefined ? undefined : readText(path)
}
