/** textDocument/inlineCompletion over the completion engine: LSP's positions and items in front of offsets and suggestions. */
import {
  type InlineCompletionItem,
  type InlineCompletionParams,
  InlineCompletionTriggerKind,
} from 'vscode-languageserver'
import type { TextDocument } from 'vscode-languageserver-textdocument'
import type { Completer } from '../assistant/complete.ts'
import type { EditorSettings } from '../wire/editor_settings.ts'
import { keyOf } from './files.ts'

/** Candidates when the user asks for them. */
const INVOKED_CANDIDATES = 3

/**
 * @param path of the document in its workspace
 * @returns an empty list where nothing is worth showing or the language is switched off
 * @throws HubError of the model
 */
export async function inlineCompletion(
  completer: Completer,
  document: TextDocument,
  path: string,
  { position, context }: Pick<InlineCompletionParams, 'position' | 'context'>,
  settings: EditorSettings['completion'],
  signal: AbortSignal,
): Promise<InlineCompletionItem[]> {
  const automatic = context.triggerKind === InlineCompletionTriggerKind.Automatic
  const off = !settings.enabled || settings.disabledLanguages.includes(document.languageId)
  if (automatic && off) return []
  const offset = document.offsetAt(position)
  const { range, text = '' } = context.selectedCompletionInfo ?? {}
  const selected = range && { start: document.offsetAt(range.start), end: document.offsetAt(range.end), text }
  if (selected !== undefined && (selected.start > offset || selected.end < offset)) return []
  const suggestions = await completer.complete(
    {
      uri: keyOf(document.uri),
      language: document.languageId,
      path,
      text: document.getText(),
      offset,
      automatic,
      candidates: INVOKED_CANDIDATES,
      ...(selected && { selected }),
    },
    signal,
  )
  return suggestions.map(({ id, text: insertText, start, end }) => ({
    insertText,
    range: { start: document.positionAt(start), end: document.positionAt(end) },
    command: { title: '', command: 'aiHub.accepted', arguments: [id] },
  }))
}
