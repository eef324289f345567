/** One editor's connection to the language server: everything that is registered with it, on one page. */
// The entry for Node installs what the common one runs on; its own createConnection would end the whole hub with one client.
import 'vscode-languageserver/node'
import {
  type CancellationToken,
  createConnection,
  createProtocolConnection,
  type InitializeResult,
  ProposedFeatures,
  TextDocumentSyncKind,
} from 'vscode-languageserver'
import * as z from 'zod'
import {
  AskRequest,
  DismissRequest,
  EDITOR_MESSAGES,
  ExplainTerminal,
  ReviewRequest,
  RewriteRequest,
  WorkspaceRequest,
} from '../wire/editor.ts'
import { ACTIONS } from './code_actions/all.ts'
import { SHOW_MARKDOWN } from './code_actions/explain.ts'
import { offerActions, resolveAction, runAction } from './code_actions/offer.ts'
import { Completions } from './completions.ts'
import { Findings } from './diagnostics.ts'
import { checked, toAnswer, toBranchName, toCommitMessage, toExplanation, toRewritten } from './requests.ts'
import { runReview } from './review.ts'
import { type LspDeps, type Running, Session } from './session.ts'
import { SocketReader, SocketWriter, type TextSocket } from './socket.ts'
import type { TextName } from './texts.ts'

export type { LspDeps } from './session.ts'

/** A token of a wrong kind counts as none. */
const WorkDone = z.looseObject({ workDoneToken: ReviewRequest.shape.workDoneToken }).catch({})

/** Serves one client until its socket closes. Nothing that goes wrong in a request ends the connection. */
export function connect(deps: LspDeps, socket: TextSocket): { close(): void } {
  const watch = { shutdownReceived: false, initialize: () => {}, exit: () => socket.close() }
  const connection = createConnection(
    logger => createProtocolConnection(new SocketReader(socket), new SocketWriter(socket), logger),
    watch,
    ProposedFeatures.all,
  )
  const session = new Session(deps, connection)
  const { documents } = session
  const completions = new Completions(session)
  const findings = new Findings(session)

  // The session.
  connection.onInitialize(params => {
    session.initialize(params)
    return capabilities(session)
  })
  connection.onInitialized(async () => {
    await session.pullSettings()
    if (session.client.folders) {
      connection.workspace.onDidChangeWorkspaceFolders(event => {
        session.foldersChanged(event)
        return findings.restore()
      })
    }
    await findings.restore()
  })
  connection.onDidChangeConfiguration(({ settings }) => session.configurationChanged(settings))

  // Documents.
  connection.onDidOpenTextDocument(params => {
    const document = documents.open(params)
    completions.visited(document)
    findings.opened(document.uri)
  })
  connection.onDidChangeTextDocument(params => {
    const changed = documents.change(params)
    if (changed === undefined) return
    completions.edited(changed.document, changed.offset)
    findings.changed(params.textDocument.uri, params.contentChanges)
  })
  connection.onDidSaveTextDocument(({ textDocument: { uri } }) => completions.visited(documents.get(uri)))
  connection.onDidCloseTextDocument(({ textDocument: { uri } }) => {
    documents.close(uri)
    completions.closed(uri)
  })

  // Inline completion.
  connection.languages.inlineCompletion.on((params, token) =>
    session.guard(token, [], signal => completions.complete(params, signal), { once: true }),
  )
  connection.onNotification(EDITOR_MESSAGES.visited, (value: unknown) => completions.looked(value))
  connection.onNotification(EDITOR_MESSAGES.accepted, (value: unknown) => completions.accepted(value))
  connection.onRequest(EDITOR_MESSAGES.counts, () => completions.counts)

  // Code actions: those of findings have their edits already, the others are worked out when chosen.
  connection.onCodeAction((params, token) =>
    session.guard(token, [], () => [
      ...findings.actions(params.textDocument.uri, params.range, params.context.only),
      ...offerActions(session, params),
    ]),
  )
  connection.onCodeActionResolve((action, token) =>
    session.withProgress(token, 'thinking', undefined, action, running => resolveAction(session, action, running)),
  )
  connection.onExecuteCommand(({ command, arguments: given, workDoneToken }, token) => {
    const [first, second]: unknown[] = Array.isArray(given) ? given : []
    const commands: { [command: string]: () => unknown } = {
      'aiHub.accepted': () => completions.accepted({ id: first, ...(second !== undefined && { length: second }) }),
      'aiHub.dismissFinding': () => dismissed({ uri: first, id: second }, token),
      'aiHub.runAction': () =>
        session.withProgress(token, 'thinking', workDoneToken, undefined, running =>
          runAction(session, first, running),
        ),
      [SHOW_MARKDOWN]: () => session.show(String(second)),
    }
    return Promise.resolve(commands[command]?.()).then(() => null)
  })

  // Reviews, and what else a client may ask for.
  const dismissed = (value: unknown, token: CancellationToken): Promise<object | null> =>
    session.guard<object | null>(token, null, () => {
      const { uri, id } = checked(DismissRequest, value)
      findings.dismiss(uri, id)
      return {}
    })
  connection.onRequest(EDITOR_MESSAGES.dismiss, dismissed)
  const on = <S extends z.ZodType>(
    method: string,
    title: TextName,
    schema: S,
    answer: (request: z.infer<S>, running: Running) => Promise<object>,
  ): void => {
    connection.onRequest(method, (value: unknown, token: CancellationToken) => {
      const { workDoneToken } = WorkDone.parse(value)
      return session.withProgress<object | null>(token, title, workDoneToken, null, running =>
        answer(checked(schema, value), running),
      )
    })
  }
  on(EDITOR_MESSAGES.review, 'reviewing', ReviewRequest, (value, run) => runReview(session, findings, value, run))
  on(EDITOR_MESSAGES.commitMessage, 'thinking', WorkspaceRequest, (value, run) => toCommitMessage(session, value, run))
  on(EDITOR_MESSAGES.branchName, 'thinking', WorkspaceRequest, (value, run) => toBranchName(session, value, run))
  on(EDITOR_MESSAGES.explainTerminal, 'thinking', ExplainTerminal, (value, run) => toExplanation(session, value, run))
  on(EDITOR_MESSAGES.ask, 'thinking', AskRequest, (value, run) => toAnswer(session, value, run))
  on(EDITOR_MESSAGES.rewrite, 'thinking', RewriteRequest, (value, run) => toRewritten(session, value, run))

  // The end.
  const end = (): void => {
    session.end()
    completions.end()
  }
  connection.onShutdown(end)
  socket.onClose(() => {
    end()
    connection.dispose()
  })
  connection.listen()
  return { close: () => socket.close() }
}

function capabilities({ deps, client }: Session): InitializeResult {
  const commands = ['aiHub.accepted', 'aiHub.dismissFinding', 'aiHub.runAction']
  // A client that shows Markdown itself would register the command twice.
  if (!client.commands.has(SHOW_MARKDOWN)) commands.push(SHOW_MARKDOWN)
  const kinds = [...ACTIONS.map(({ kind }) => kind), 'quickfix.aiHub.review', 'quickfix.aiHub.dismiss']
  return {
    serverInfo: { name: 'AI Backend Hub', version: deps.version },
    capabilities: {
      textDocumentSync: { openClose: true, change: TextDocumentSyncKind.Incremental, save: true },
      inlineCompletionProvider: true,
      codeActionProvider: { codeActionKinds: kinds, resolveProvider: client.resolves },
      executeCommandProvider: { commands, workDoneProgress: true },
      workspace: { workspaceFolders: { supported: true, changeNotifications: true } },
    },
  }
}
