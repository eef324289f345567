/** Findings of reviews as diagnostics: they follow their lines while the user edits, and go when their line is changed. */
import {
  type CodeAction,
  type Diagnostic,
  DiagnosticSeverity,
  type Range,
  type TextDocumentContentChangeEvent,
} from 'vscode-languageserver'
import { fitIn } from '../assistant/code.ts'
import type { Finding } from '../assistant/review.ts'
import { HubError } from '../lib/error.ts'
import { inDocument, toWorkspaceEdit } from './code_actions/action.ts'
import { dismiss, findingHash, readDismissed } from './dismissed.ts'
import { keyOf, localPath, readText } from './files.ts'
import { type KeptFile, keep, readKept } from './kept_findings.ts'
import type { Session } from './session.ts'

export const SOURCE = 'ai-review'
const SEVERITY = {
  error: DiagnosticSeverity.Error,
  warning: DiagnosticSeverity.Warning,
  info: DiagnosticSeverity.Information,
} as const
/** What typing does to findings is kept after so long. */
const KEEP_MS = 1000

type Placed = Finding & { id: string; hash: string /** The line as it was reviewed. */; text: string }
type File = { uri: string; found: Placed[] /** Ids of those that are kept in home. */; kept?: string }

export class Findings {
  readonly #session: Session
  readonly #files = new Map<string, File>()
  /** Of earlier connections, not shown yet. */
  readonly #earlier = new Map<string, KeptFile>()
  /** URIs of files that are not kept as they are now. */
  readonly #unkept = new Set<string>()
  #lastId = 0

  constructor(session: Session) {
    this.#session = session
  }

  /** Shows again what was found before the hub or the editor went away, in the files of the workspace; in others when they are opened. */
  async restore(): Promise<void> {
    const { documents, closed, deps } = this.#session
    const dismissed = readDismissed(deps.home)
    for (const file of readKept(deps.home)) this.#earlier.set(keyOf(file.uri), file)
    for (const { uri } of [...this.#earlier.values()]) {
      if (closed.aborted) return
      if (this.#session.folderOf(uri) === undefined) continue
      const path = localPath(uri)
      const text = documents.find(uri)?.getText() ?? (path === undefined ? undefined : await readText(path))
      if (text !== undefined) this.#showEarlier(uri, text, dismissed)
    }
  }

  #showEarlier(uri: string, text: string, dismissed: ReadonlySet<string>): void {
    const key = keyOf(uri)
    const earlier = this.#earlier.get(key)
    this.#earlier.delete(key)
    if (earlier === undefined || this.#files.has(key)) return
    const lines = text.split(/\r?\n/)
    const file = this.#file(uri)
    for (const { replacement, ...finding } of earlier.found) {
      const line = dismissed.has(finding.hash) ? undefined : nearest(lines, finding.text, finding.line)
      if (line === undefined) continue
      const id = String(++this.#lastId)
      file.found.push({ ...finding, ...(replacement !== undefined && { replacement }), line, id })
    }
    if (file.found.length === earlier.found.length) file.kept = idsOf(file)
    this.#publish(uri)
  }

  /**
   * Shows what a review of a file found, in place of what was found in these lines before.
   * @param reviewed the text that was reviewed
   * @param now the text as it is in the editor or on disk
   * @returns how many are shown, and how many have no line there any more; what was dismissed is neither
   */
  show(
    uri: string,
    findings: readonly Finding[],
    reviewed: string,
    now: string,
    lines?: readonly { from: number; to: number }[],
  ): { shown: number; dropped: number } {
    const path = this.#session.pathOf(uri)
    const dismissed = readDismissed(this.#session.deps.home)
    const before = reviewed.split(/\r?\n/)
    const after = now.split(/\r?\n/)
    this.#earlier.delete(keyOf(uri))
    const file = this.#file(uri)
    const inside = (line: number): boolean =>
      lines === undefined || lines.some(({ from, to }) => from <= line && line < to)
    file.found = file.found.filter(({ line }) => !inside(line))
    let shown = 0
    let dropped = 0
    for (const finding of findings) {
      const text = before[finding.line] ?? ''
      const hash = findingHash(path, finding.category, text)
      if (dismissed.has(hash)) continue
      const line = nearest(after, text, finding.line)
      if (line === undefined) {
        dropped++
        continue
      }
      file.found.push({ ...finding, line, hash, text, id: String(++this.#lastId) })
      shown++
    }
    this.#publish(uri)
    return { shown, dropped }
  }

  /** A document was changed, after the changes. */
  changed(uri: string, changes: readonly TextDocumentContentChangeEvent[]): void {
    const file = this.#files.get(keyOf(uri))
    const document = this.#session.documents.get(uri)
    if (file === undefined || file.found.length === 0 || document === undefined) return
    let moved = file.found
    for (const change of changes) {
      // A new text as a whole says nothing of lines; each finding looks for its own.
      if (!('range' in change)) {
        this.opened(uri)
        return
      }
      const { start, end } = change.range
      const by = (change.text.match(/\n/g)?.length ?? 0) - (end.line - start.line)
      moved = moved.map(finding => {
        const isBehind = end.line < finding.line || (end.line === finding.line && start.line < finding.line)
        const pushesDown = start.line === finding.line && start.character === 0 && change.text.endsWith('\n')
        return isBehind || pushesDown ? { ...finding, line: finding.line + by } : finding
      })
    }
    const stays = moved.filter(({ line, text }) => lineOf(document, line) === text)
    if (stays.every((finding, index) => finding === file.found[index]) && stays.length === file.found.length) return
    file.found = stays
    this.#publish(uri, true)
  }

  /** A document was opened that may differ from what was reviewed. */
  opened(uri: string): void {
    const document = this.#session.documents.get(uri)
    if (document !== undefined && this.#earlier.has(keyOf(uri))) {
      this.#showEarlier(uri, document.getText(), readDismissed(this.#session.deps.home))
    }
    const file = this.#files.get(keyOf(uri))
    if (file === undefined || document === undefined) return
    const lines = document.getText().split(/\r?\n/)
    const wasEmpty = file.found.length === 0
    file.found = file.found.flatMap(finding => {
      const line = nearest(lines, finding.text, finding.line)
      return line === undefined ? [] : [{ ...finding, line }]
    })
    if (!wasEmpty) this.#publish(uri)
  }

  /** Quick fixes of the findings in a range. */
  actions(uri: string, range: Range, only: readonly string[] | undefined): CodeAction[] {
    const document = this.#session.documents.get(uri)
    if (document === undefined) return []
    const wants = (kind: string): boolean => only === undefined || only.some(each => `${kind}.`.startsWith(`${each}.`))
    const found = this.#files.get(keyOf(uri))?.found ?? []
    const here = found.filter(({ line }) => range.start.line <= line && line <= range.end.line)
    const actions: CodeAction[] = []
    for (const finding of here) {
      const diagnostics = [diagnosticOf(finding)]
      if (finding.replacement !== undefined && wants('quickfix.aiHub.review')) {
        const start = document.offsetAt({ line: finding.line, character: 0 })
        const code = {
          path: '',
          language: document.languageId,
          text: document.getText(),
          start,
          end: start + finding.text.length,
        }
        const title = this.#session.say('applyFinding')
        const result = inDocument(document, [fitIn(code, finding.replacement)])
        if ('edits' in result) {
          const edit = toWorkspaceEdit(this.#session, result.edits, finding.reason)
          actions.push({ title, kind: 'quickfix.aiHub.review', diagnostics, edit })
        }
      }
      if (wants('quickfix.aiHub.dismiss')) {
        const title = this.#session.say('dismissFinding')
        const command = { title, command: 'aiHub.dismissFinding', arguments: [uri, finding.id] }
        actions.push({ title, kind: 'quickfix.aiHub.dismiss', diagnostics, command })
      }
    }
    return actions
  }

  /** Takes a finding away, for good. @throws HubError not_found, insufficient_storage */
  dismiss(uri: string, id: string): void {
    const file = this.#file(uri)
    const finding = file.found.find(each => each.id === id)
    if (finding === undefined) throw new HubError('not_found', 'This finding is gone already.')
    dismiss(this.#session.deps.home, finding.hash)
    file.found = file.found.filter(({ hash }) => hash !== finding.hash)
    this.#publish(uri)
  }

  #file(uri: string): File {
    const key = keyOf(uri)
    let file = this.#files.get(key)
    if (file === undefined) {
      file = { uri, found: [] }
      this.#files.set(key, file)
    }
    return file
  }

  /** @param isTyping keeps it a moment later: no keystroke waits for the disk */
  #publish(uri: string, isTyping = false): void {
    const file = this.#file(uri)
    file.found.sort((a, b) => a.line - b.line)
    const diagnostics = file.found.map(diagnosticOf)
    void this.#session.connection.sendDiagnostics({ uri: file.uri, diagnostics }).catch(() => {})
    if (isTyping) this.#keepSoon(file)
    else this.#keep(file)
    if (file.found.length === 0) this.#files.delete(keyOf(uri))
  }

  #keepSoon(file: File): void {
    if (idsOf(file) === file.kept) return
    const { deps, closed } = this.#session
    if (this.#unkept.size === 0) {
      void deps.wait(KEEP_MS, closed).then(() => {
        for (const uri of this.#unkept) this.#keep(this.#files.get(keyOf(uri)) ?? { uri, found: [] })
        this.#unkept.clear()
      })
    }
    this.#unkept.add(file.uri)
  }

  /** Where a line is by now need not be kept: it is found by its text. */
  #keep(file: File): void {
    const ids = idsOf(file)
    if (ids === file.kept) return
    file.kept = ids
    const { home, log } = this.#session.deps
    try {
      keep(home, { uri: file.uri, found: file.found.map(({ id: _, ...finding }) => finding) })
    } catch (thrown) {
      log.warn('findings of a review are not kept', { reason: HubError.from(thrown).message })
    }
  }
}

const idsOf = ({ found }: File): string =>
  found
    .map(({ id }) => id)
    .sort()
    .join()

function diagnosticOf({ line, text, severity, category, reason, id }: Placed): Diagnostic {
  const start = text.length - text.trimStart().length
  return {
    range: { start: { line, character: start }, end: { line, character: Math.max(start, text.trimEnd().length) } },
    severity: SEVERITY[severity],
    source: SOURCE,
    code: category,
    message: reason,
    data: { id },
  }
}

/** The line with this text that is nearest to where it was. */
function nearest(lines: readonly string[], text: string, line: number): number | undefined {
  for (let far = 0; far < lines.length + line; far++) {
    if (lines[line - far] === text) return line - far
    if (lines[line + far] === text) return line + far
  }
  return undefined
}

function lineOf(document: { getText(range: Range): string }, line: number): string {
  if (line < 0) return ''
  return document
    .getText({ start: { line, character: 0 }, end: { line: line + 1, character: 0 } })
    .replace(/\r?\n$/, '')
}
