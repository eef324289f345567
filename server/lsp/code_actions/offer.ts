/** Code actions are offered without asking a model, and worked out when one is chosen. */
import {
  type CodeAction,
  type CodeActionParams,
  CodeActionTag,
  CodeActionTriggerKind,
  type Command,
} from 'vscode-languageserver'
import * as z from 'zod'
import { HubError } from '../../lib/error.ts'
import { Range as RangeSchema } from '../../wire/editor.ts'
import type { Running, Session } from '../session.ts'
import { type ActionDeps, current, placeOf, type Result, toWorkspaceEdit } from './action.ts'
import { ACTIONS } from './all.ts'

const Chosen = z.object({
  action: z.string(),
  uri: z.string(),
  version: z.int(),
  range: RangeSchema,
  data: z.unknown().optional(),
})
type Chosen = z.infer<typeof Chosen>

/** The actions of a place, still without their edits. */
export function offerActions(session: Session, { textDocument, range, context }: CodeActionParams): CodeAction[] {
  const document = session.documents.get(textDocument.uri)
  if (document === undefined) return []
  const place = placeOf(session, document, range, context.diagnostics)
  // A light bulb at every place of every file would say nothing.
  const unasked = context.triggerKind === CodeActionTriggerKind.Automatic && place.code.start === place.code.end
  return ACTIONS.filter(
    ({ kind, automatic }) => wanted(kind, context.only) && (!unasked || automatic === true),
  ).flatMap(action =>
    action.offers(place).map(({ title, diagnostics, data, command }) => {
      const chosen: Chosen = { action: action.id, uri: document.uri, version: document.version, range, data }
      const run: Command = { title, command: 'aiHub.runAction', arguments: [chosen] }
      return {
        title,
        kind: action.kind,
        ...(session.client.tags && { tags: [CodeActionTag.LLMGenerated] }),
        ...(diagnostics !== undefined && { diagnostics }),
        ...(command !== undefined ? { command } : session.client.resolves ? { data: chosen } : { command: run }),
      }
    }),
  )
}

/** Works a chosen action out. Where it cannot be, the action comes back without an edit, and the user was told why. */
export async function resolveAction(session: Session, action: CodeAction, running: Running): Promise<CodeAction> {
  const result = await work(session, action.data, running)
  return 'command' in result
    ? { ...action, command: result.command }
    : { ...action, edit: toWorkspaceEdit(session, result.edits, action.title) }
}

/** For clients that cannot have an action worked out when it is chosen: does it here and sends the edit. */
export async function runAction(session: Session, chosen: unknown, running: Running): Promise<void> {
  const result = await work(session, chosen, running)
  if ('command' in result) {
    const [, text] = result.command.arguments ?? []
    if (typeof text === 'string') session.show(text)
    return
  }
  await session.connection.workspace.applyEdit(toWorkspaceEdit(session, result.edits, 'AI'))
}

async function work(session: Session, given: unknown, running: Running): Promise<Result> {
  const chosen = Chosen.safeParse(given)
  const action = chosen.success ? ACTIONS.find(({ id }) => id === chosen.data.action) : undefined
  if (!chosen.success || action === undefined) throw new HubError('invalid_request', 'There is no such code action.')
  const { uri, version, range, data } = chosen.data
  const document = current(session, uri, version)
  const place = placeOf(session, document, range, [])
  const result = await action.resolve(place, data, actionDeps(session, uri, running), running.signal)
  // What was typed meanwhile would be torn apart by an edit that does not know of it.
  current(session, uri, version)
  return result
}

function actionDeps(session: Session, uri: string, running: Running): ActionDeps {
  const folder = session.folderOf(uri)
  return {
    ask: session.ask(running),
    locale: session.client.locale,
    client: session.client,
    files: () => session.filesOf(folder, running.signal),
    read: path => session.readFile(folder, path),
    uriOf: path => session.uriIn(folder, uri, path),
  }
}

/** `refactor` asks for `refactor.rewrite` as well. */
function wanted(kind: string, only: readonly string[] | undefined): boolean {
  return only === undefined || only.some(each => each === '' || kind === each || kind.startsWith(`${each}.`))
}
