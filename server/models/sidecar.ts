/** The optional NAME.model.json beside NAME.gguf: what its owner says of the model. */
import { readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { HubError } from '../lib/error.ts'
import { Sidecar } from '../wire/model.ts'

export const SIDECAR_ENDING = '.model.json'
const MOST_BYTES = 2 ** 20

/** A sidecar that cannot be used is empty and has a reason that names the file, the fault and the fix. */
export type SidecarRead = { sidecar: Sidecar; reason?: string }

/** Reads a sidecar; undefined when the file is gone. Never throws. */
export async function readSidecar(path: string): Promise<SidecarRead | undefined> {
  const ignored = (why: string): SidecarRead => ({
    sidecar: {},
    reason: `${basename(path)} is ignored: ${why}. Correct the file; it is read again when it is saved.`,
  })
  let text: string
  try {
    const { size } = await stat(path)
    if (size > MOST_BYTES) return ignored(`it has ${size} bytes and ${MOST_BYTES} is the limit`)
    // Editors on Windows like to begin with a byte order mark, which JSON does not allow.
    text = (await readFile(path, 'utf8')).replace(/^\uFEFF/, '')
  } catch (error) {
    const { code = String(error) } = error as NodeJS.ErrnoException
    return code === 'ENOENT' ? undefined : ignored(`it cannot be read (${code})`)
  }
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch (error) {
    return ignored(`it is not JSON (${error instanceof Error ? error.message : error})`)
  }
  const parsed = Sidecar.safeParse(json)
  if (parsed.success) return { sidecar: parsed.data }
  const faults = parsed.error.issues.map(issue => `${issue.path.join('.') || 'the whole'}: ${issue.message}`)
  return ignored(faults.join('; '))
}

/**
 * Changes keys of a sidecar and keeps all others, known or not; undefined takes a key away. One rename, so that a crash
 * leaves the old file or the new one.
 * @throws HubError conflict when the file that is there cannot be understood
 */
export async function writeSidecar(path: string, changes: { [key: string]: unknown }): Promise<void> {
  const before = await readSidecar(path)
  if (before?.reason !== undefined) throw new HubError('conflict', before.reason)
  const text = `${JSON.stringify({ ...before?.sidecar, ...changes }, undefined, 2)}\n`
  // A name with a dot at its front is looked at by nobody.
  const fresh = join(dirname(path), `.${basename(path)}.${process.pid}`)
  try {
    await writeFile(fresh, text)
    await rename(fresh, path)
  } catch (cause) {
    await rm(fresh, { force: true })
    throw new HubError(
      'internal',
      `${path} cannot be written: ${cause instanceof Error ? cause.message : cause}. Check the rights of its folder.`,
    )
  }
}
