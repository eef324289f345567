/** /v1/files: uploads that stay on this machine, as OpenAI's clients send them. */
import { randomBytes } from 'node:crypto'
import { readdirSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import * as z from 'zod'
import { HubError } from '../lib/error.ts'
import type { Database } from '../storage/database.ts'
import { deleteFile, expiredFiles, insertFile, listFiles, readFile, type StoredFile } from '../storage/files.ts'
import { FileDeleted, FileList, FileListQuery, FileOut, FileUpload } from '../wire/files.ts'
import { fromZodError } from './error.ts'
import { FileAnswer } from './file_answer.ts'
import { receiveUpload } from './multipart.ts'
import { type Route, route } from './route.ts'

export type FileDeps = {
  db: Database
  /** Where the bytes lie, each file under its id. */
  folder: string
  maxBytes(): number
  /** The unfinished job that needs the file. */
  userOf(id: string): string | undefined
  now(): number
}

export function fileRoutes(deps: FileDeps): Route[] {
  const { db } = deps
  const params = z.strictObject({ id: z.string() })
  return [
    route({
      method: 'POST',
      path: '/v1/files',
      summary: 'Store a file, for a training job say',
      tag: 'OpenAI',
      scope: 'manage',
      multipart: FileUpload,
      response: FileOut,
      handler: async ({ request }) => toFileOut(await store(deps, request)),
    }),
    route({
      method: 'GET',
      path: '/v1/files',
      summary: 'Stored files',
      tag: 'OpenAI',
      scope: 'manage',
      query: FileListQuery,
      response: FileList,
      handler({ query }) {
        dropExpired(deps)
        const { purpose, after, limit, order } = query
        const { files, hasMore } = listFiles(db, {
          limit,
          order,
          ...(purpose !== undefined && { purpose }),
          ...(after !== undefined && { after }),
        })
        return {
          object: 'list' as const,
          data: files.map(toFileOut),
          first_id: files[0]?.id ?? '',
          last_id: files.at(-1)?.id ?? '',
          has_more: hasMore,
        }
      },
    }),
    route({
      method: 'GET',
      path: '/v1/files/{id}',
      summary: 'One stored file',
      tag: 'OpenAI',
      scope: 'manage',
      params,
      response: FileOut,
      handler: ({ params: { id } }) => toFileOut(find(deps, id)),
    }),
    route({
      method: 'GET',
      path: '/v1/files/{id}/content',
      summary: 'Its bytes',
      tag: 'OpenAI',
      scope: 'manage',
      params,
      response: z.string().meta({ format: 'binary' }),
      handler({ params: { id } }) {
        const file = find(deps, id)
        return new FileAnswer(join(deps.folder, file.id), file.filename)
      },
    }),
    route({
      method: 'DELETE',
      path: '/v1/files/{id}',
      summary: 'Delete a stored file',
      tag: 'OpenAI',
      scope: 'manage',
      params,
      response: FileDeleted,
      handler({ params: { id } }) {
        const file = find(deps, id)
        const user = deps.userOf(file.id)
        if (user !== undefined) {
          throw new HubError('conflict', `The file ${file.id} is used by the job ${user}. Wait for it, or cancel it.`, {
            param: 'id',
          })
        }
        remove(deps, file.id)
        return { id: file.id, object: 'file' as const, deleted: true as const }
      },
    }),
  ]
}

/** Deletes what an upload or a deletion that was cut off has left behind. */
export function tidyFiles(deps: Pick<FileDeps, 'db' | 'folder' | 'now' | 'userOf'>): void {
  dropExpired(deps)
  let names: string[]
  try {
    names = readdirSync(deps.folder)
  } catch {
    return
  }
  for (const name of names) {
    // Whatever else lies there is not the hub's.
    const isCut = /^[0-9a-f]{24}\.part$/.test(name)
    const isOrphan = /^file-[0-9a-f]{24}$/.test(name) && readFile(deps.db, name) === undefined
    if (isCut || isOrphan) rmSync(join(deps.folder, name), { force: true })
  }
}

async function store(deps: FileDeps, request: Parameters<typeof receiveUpload>[0]): Promise<StoredFile> {
  const { fields, file } = await receiveUpload(request, {
    folder: deps.folder,
    maxBytes: deps.maxBytes(),
    field: 'file',
  })
  try {
    const parsed = FileUpload.safeParse({ ...fields, ...(file !== undefined && { file: file.filename }) })
    if (!parsed.success) throw fromZodError(parsed.error)
    if (file === undefined) {
      throw new HubError('invalid_request', "'file' has to be a file: send its part with a filename.", {
        param: 'file',
      })
    }
    if (file.bytes === 0) throw new HubError('invalid_request', 'The file is empty.', { param: 'file' })
    const { purpose, 'expires_after[anchor]': anchor, 'expires_after[seconds]': expires } = parsed.data
    if ((anchor === undefined) !== (expires === undefined)) {
      throw new HubError('invalid_request', 'expires_after has both an anchor and seconds.', { param: 'expires_after' })
    }
    const createdMs = deps.now()
    const stored: StoredFile = {
      id: `file-${randomBytes(12).toString('hex')}`,
      createdMs,
      purpose,
      filename: file.filename,
      bytes: file.bytes,
      sha256: file.sha256,
      ...(expires !== undefined && { expiresMs: createdMs + expires * 1000 }),
    }
    renameSync(file.path, join(deps.folder, stored.id))
    insertFile(deps.db, stored)
    return stored
  } catch (thrown) {
    if (file !== undefined) rmSync(file.path, { force: true })
    throw thrown
  }
}

function find(deps: FileDeps, id: string): StoredFile {
  dropExpired(deps)
  const file = readFile(deps.db, id)
  if (file === undefined) {
    throw new HubError('not_found', `There is no file '${id}'. GET /v1/files lists them.`, { param: 'id' })
  }
  return file
}

function dropExpired(deps: Pick<FileDeps, 'db' | 'folder' | 'now' | 'userOf'>): void {
  for (const { id } of expiredFiles(deps.db, deps.now())) if (deps.userOf(id) === undefined) remove(deps, id)
}

/** The row goes first: bytes without a row are tidied away, a row without bytes would be a broken file. */
function remove(deps: Pick<FileDeps, 'db' | 'folder'>, id: string): void {
  deleteFile(deps.db, id)
  rmSync(join(deps.folder, id), { force: true })
}

function toFileOut(file: StoredFile): FileOut {
  return {
    id: file.id,
    object: 'file',
    bytes: file.bytes,
    created_at: Math.floor(file.createdMs / 1000),
    ...(file.expiresMs !== undefined && { expires_at: Math.floor(file.expiresMs / 1000) }),
    filename: file.filename,
    purpose: file.purpose,
    status: 'processed',
    sha256: file.sha256,
  }
}
