/** OpenAI's /v1/files: what is uploaded, listed and deleted. */
import * as z from 'zod'

export const UPLOAD_PURPOSES = ['assistants', 'batch', 'fine-tune', 'vision', 'user_data', 'evals'] as const

/** The parts of the multipart body; `file` is the file itself. */
export const FileUpload = z.strictObject({
  file: z.string().describe('the file, as a part with a filename'),
  purpose: z.enum(UPLOAD_PURPOSES),
  'expires_after[anchor]': z.literal('created_at').optional(),
  'expires_after[seconds]': z.coerce.number().int().min(3600).max(2_592_000).optional(),
})
export type FileUpload = z.infer<typeof FileUpload>

export const FileOut = z.object({
  id: z.string(),
  object: z.literal('file'),
  bytes: z.int(),
  created_at: z.int().describe('Unix seconds'),
  expires_at: z.int().optional(),
  filename: z.string(),
  purpose: z.string(),
  status: z.literal('processed'),
  sha256: z.string(),
})
export type FileOut = z.infer<typeof FileOut>

export const FileListQuery = z.strictObject({
  purpose: z.string().max(64).optional(),
  after: z.string().max(100).optional(),
  limit: z.coerce.number().int().min(1).max(10_000).default(10_000),
  order: z.enum(['asc', 'desc']).default('desc'),
})

export const FileList = z.object({
  object: z.literal('list'),
  data: z.array(FileOut),
  first_id: z.string(),
  last_id: z.string(),
  has_more: z.boolean(),
})

export const FileDeleted = z.object({ id: z.string(), object: z.literal('file'), deleted: z.literal(true) })
