/** What the WebSocket /v1/events says: one JSON object per message, told apart by `type`. It only speaks; it takes no messages. */
import * as z from 'zod'
import { SystemLoad } from './load.ts'
import { ModelFolder, ModelState } from './model.ts'
import { PullOut } from './pull.ts'
import { RequestOut } from './requests.ts'
import { JobProgress, TrainingEventOut, TrainingJobOut } from './training.ts'

/** Subprotocols of a client in a browser: the one that is spoken, and before a key the one that shows it. */
export const EVENTS_PROTOCOL = 'ai-hub'
export const KEY_PROTOCOL = 'ai-hub-key.'

/** A model in a few words; GET /v1/models/status says more. */
export const ModelBrief = z.object({
  id: z.string(),
  parent: z.string().optional().describe('of an adapter: the id of its base'),
  folder: ModelFolder,
  bytes: z.number(),
  state: ModelState,
  progress: z.number().optional().describe('0 to 1 while loading'),
  error: z.string().optional(),
  in_use: z.int(),
})
export type ModelBrief = z.infer<typeof ModelBrief>

export const TrainingEvent = z.discriminatedUnion('type', [
  /** A job is new, or its status or stage changed. */
  z.object({ type: z.literal('training.job'), job: TrainingJobOut }),
  /** After each step. */
  z.object({ type: z.literal('training.progress'), id: z.string(), progress: JobProgress }),
  /** A line of the job's log. */
  z.object({ type: z.literal('training.message'), id: z.string(), event: TrainingEventOut }),
])
export type TrainingEvent = z.infer<typeof TrainingEvent>

export const HubEvent = z.discriminatedUnion('type', [
  /** The first message of every connection. */
  z.object({
    type: z.literal('hello'),
    version: z.string(),
    started_at: z.number().describe('Unix milliseconds'),
    models: z.array(ModelBrief),
  }),
  z.object({ type: z.literal('model.state'), model: ModelBrief }),
  z.object({ type: z.literal('model.progress'), id: z.string(), fraction: z.number().describe('0 to 1') }),
  /** Files came or went; the list is the new one. */
  z.object({ type: z.literal('models.changed'), models: z.array(ModelBrief) }),
  /** A download of a model changed its state, or bytes came; cancelled with no bytes, it is gone. */
  z.object({ type: z.literal('model.pull'), pull: PullOut }),
  /** Every two seconds. */
  z.object({ type: z.literal('system.load'), load: SystemLoad }),
  /** A request to a model has ended. */
  z.object({ type: z.literal('request.end'), request: RequestOut }),
  ...TrainingEvent.options,
])
export type HubEvent = z.infer<typeof HubEvent>

/** Close codes of this socket, beside the protocol's own. */
export const EVENTS_CLOSE = {
  /** The hub ends. */
  going_away: 1001,
  /** The client sent a message. */
  only_speaks: 1003,
  /** The client reads more slowly than events come; connect again for a fresh hello. */
  too_slow: 4001,
} as const
