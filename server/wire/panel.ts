/** What a page in a VS Code panel and the extension say to each other: requests to the hub, its events, and what only the editor can do. */
import * as z from 'zod'

const Method = z.enum(['GET', 'POST', 'PUT', 'PATCH', 'DELETE'])

/** From the page. `id` numbers a request; its answers carry the same. */
export const FromPanel = z.discriminatedUnion('type', [
  z.object({
    type: z.literal('request'),
    id: z.int(),
    method: Method,
    path: z.string(),
    body: z.unknown().optional(),
    /** True = the answer comes as `data` messages, one for each server-sent event, and ends with `done`. */
    stream: z.boolean(),
  }),
  /** A file for the hub, sent on to POST /v1/files with the purpose fine-tune; the answer is the hub's. */
  z.object({ type: z.literal('upload'), id: z.int(), filename: z.string(), bytes: z.instanceof(ArrayBuffer) }),
  z.object({ type: z.literal('cancel'), id: z.int() }),
  /** The page wants the hub's events from now on. */
  z.object({ type: z.literal('listen') }),
  z.object({ type: z.literal('insert'), text: z.string() }),
  /** `file` = as the text itself names it; it may not exist. */
  z.object({ type: z.literal('apply'), text: z.string(), language: z.string(), file: z.string().optional() }),
  /** Another page, and which part of it. */
  z.object({ type: z.literal('open'), page: z.enum(['chat', 'dashboard', 'docs']), route: z.string().optional() }),
  /** What a page that is opened later begins with, this one above all where it is its own; no value = forget it. */
  z.object({
    type: z.literal('keep'),
    key: z.string(),
    value: z.string().optional(),
    own: z.boolean(),
    /** Unix milliseconds. */
    at: z.number(),
  }),
  /** What is put to the hub when the page is closed, in place of what was said before. */
  z.object({ type: z.literal('leave'), letters: z.array(z.object({ path: z.string(), body: z.unknown() })).max(16) }),
  z.object({ type: z.literal('copy'), text: z.string() }),
  z.object({ type: z.literal('save'), filename: z.string(), content: z.string() }),
])
export type FromPanel = z.infer<typeof FromPanel>

/** What a page begins with: what all pages keep, and what this one had for itself. */
export const KeptState = z.object({
  /** Unix milliseconds of the last change. */
  at: z.number(),
  kept: z.record(z.string(), z.string()),
  own: z.record(z.string(), z.string()),
})
export type KeptState = z.infer<typeof KeptState>

/** To the page. */
export const ToPanel = z.discriminatedUnion('type', [
  z.object({ type: z.literal('answer'), id: z.int(), status: z.int(), body: z.unknown() }),
  /** The text behind `data: ` of one event. */
  z.object({ type: z.literal('data'), id: z.int(), data: z.string() }),
  z.object({ type: z.literal('done'), id: z.int() }),
  /** The hub cannot be reached, or went away. */
  z.object({ type: z.literal('lost'), id: z.int(), message: z.string() }),
  z.object({ type: z.literal('event'), event: z.unknown() }),
  z.object({ type: z.literal('connected'), connected: z.boolean() }),
  /** Which part of the page is wanted. */
  z.object({ type: z.literal('route'), route: z.string() }),
  /** For the box in which a message is written: from the editor, not sent yet. */
  z.object({ type: z.literal('draft'), text: z.string() }),
])
export type ToPanel = z.infer<typeof ToPanel>
