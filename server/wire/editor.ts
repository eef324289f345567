/** The hub's own messages to and from an editor, beside those of LSP. Ranges and positions are LSP's. */
import * as z from 'zod'

/** Where the language server is reached over WebSocket; the token of hub.json goes into the query. */
export const LSP_PATH = '/lsp'

const Position = z.object({ line: z.int().min(0), character: z.int().min(0) })
export const Range = z.object({ start: Position, end: Position })

/** Notification: the user looks at this place. */
export const Visited = z.object({ uri: z.string(), line: z.int().min(0) })
/** Notification, and command `aiHub.accepted` with [id, length?]: a suggestion was taken, whole or that many UTF-16 units of it. */
export const Accepted = z.object({ id: z.int(), length: z.int().min(0).optional() })

/** Request `aiHub/review`; its findings come as diagnostics of the source `ai-review`. */
export const ReviewRequest = z.object({
  scope: z.enum(['selection', 'file', 'staged', 'branch']),
  uri: z.string().optional(),
  range: Range.optional(),
  /** Folder of the git repository by path or URI, for `staged` and `branch`. */
  workspace: z.string().optional(),
  /** The branch that the current one is compared with. */
  base: z.string().optional(),
  workDoneToken: z.union([z.string(), z.int()]).optional(),
})
export type ReviewRequest = z.infer<typeof ReviewRequest>
export const ReviewAnswer = z.object({ files: z.int(), findings: z.int(), dropped: z.int() })
export type ReviewAnswer = z.infer<typeof ReviewAnswer>

const workDoneToken = z.union([z.string(), z.int()]).optional()
/** `workspace` is a folder of the git repository, by path or URI; the first of the client's folders by default. */
export const WorkspaceRequest = z.object({ workspace: z.string().optional(), workDoneToken })
export type WorkspaceRequest = z.infer<typeof WorkspaceRequest>
export const ExplainTerminal = z.object({ text: z.string(), workDoneToken })
export type ExplainTerminal = z.infer<typeof ExplainTerminal>
export const AskRequest = z.object({ uri: z.string(), range: Range.optional(), question: z.string(), workDoneToken })
export type AskRequest = z.infer<typeof AskRequest>
/** Request `aiHub/rewrite`: the edit comes by workspace/applyEdit. */
export const RewriteRequest = z.object({ uri: z.string(), range: Range, instruction: z.string().min(1), workDoneToken })
export type RewriteRequest = z.infer<typeof RewriteRequest>
/** Request `aiHub/dismissFinding`, and command `aiHub.dismissFinding` with [uri, id]: `id` is in the diagnostic's data. */
export const DismissRequest = z.object({ uri: z.string(), id: z.string() })
/** Notification to a client that asks for it by the initialization option `problems`: what could not be done, instead of a plain message. */
export const Problem = z.object({ code: z.string(), message: z.string() })
export type Problem = z.infer<typeof Problem>
export const Markdown = z.object({ markdown: z.string() })

/** Names of the requests and notifications. */
export const EDITOR_MESSAGES = {
  visited: 'aiHub/visited',
  accepted: 'aiHub/accepted',
  counts: 'aiHub/counts',
  review: 'aiHub/review',
  dismiss: 'aiHub/dismissFinding',
  commitMessage: 'aiHub/commitMessage',
  branchName: 'aiHub/branchName',
  explainTerminal: 'aiHub/explainTerminal',
  ask: 'aiHub/ask',
  rewrite: 'aiHub/rewrite',
  problem: 'aiHub/problem',
} as const
