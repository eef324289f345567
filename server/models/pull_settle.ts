/** The end of a download: its parts become a model, together, in the folder that the file itself speaks of. */
import { existsSync, statSync } from 'node:fs'
import { rename, rm } from 'node:fs/promises'
import { HubError } from '../lib/error.ts'
import { ModelFolder } from '../wire/model.ts'
import { factsOf } from './gguf.ts'
import { readGgufHeader } from './gguf_header.ts'
import { type PullRecord, partOf, targetOf } from './pull_record.ts'

/** Windows refuses for a moment to rename a file that a virus scanner reads. */
const RENAME_TRIES = 20
const RENAME_WAIT_MS = 250

/**
 * Gives all parts their names. @returns the folder in which the model is now
 * @throws HubError model_broken when the files are no model; they are deleted then
 */
export async function settlePull(
  root: string,
  record: PullRecord,
  wait: (ms: number, signal: AbortSignal) => Promise<void>,
): Promise<ModelFolder> {
  const names = record.files.map(file => file.name)
  const paths = names.map(name => {
    const target = targetOf(root, record, name)
    return existsSync(target) ? target : partOf(root, record, name)
  })
  const headers = []
  for (const path of paths) headers.push(await readGgufHeader(path))
  const facts = factsOf(headers, names[0]!)
  if (facts.kind !== 'model') {
    for (const path of paths) await rm(path, { force: true })
    throw new HubError('model_broken', `${names[0]} is no model but a part of one (${facts.kind}), so it was deleted.`)
  }
  const moved: PullRecord = { ...record, folder: record.isFolderAsked ? record.folder : folderByFacts(facts, record) }
  const isFree = names.every(name => !existsSync(targetOf(root, moved, name)))
  const to = isFree ? moved : record
  for (const [i, name] of names.entries()) {
    const [from, target] = [paths[i]!, targetOf(root, to, name)]
    for (let tries = 1; from !== target; tries++) {
      try {
        await rename(from, target)
        break
      } catch (thrown) {
        const { code = '' } = thrown as NodeJS.ErrnoException
        if (tries >= RENAME_TRIES || !['EPERM', 'EBUSY', 'EACCES'].includes(code)) throw thrown
        await wait(RENAME_WAIT_MS, new AbortController().signal)
      }
    }
  }
  return to.folder
}

/** A model of vectors is no chat model, nor is one that fills in the middle and knows no chat. */
function folderByFacts({ pooling, fim, chat_template }: ReturnType<typeof factsOf>, record: PullRecord): ModelFolder {
  if (pooling !== undefined) return 'custom_models'
  return record.folder === 'chat_models' && fim && chat_template === undefined ? 'code_models' : record.folder
}

/** Whether the model was put in place by a hub that was killed before it could forget the download. */
export function isSettled(root: string, record: PullRecord): boolean {
  const isWhole = (folder: ModelFolder) =>
    record.files.every(({ name, bytes }) => {
      const stats = statSync(targetOf(root, { ...record, folder }, name), { throwIfNoEntry: false })
      return stats?.isFile() === true && stats.size === bytes
    })
  return ModelFolder.options.some(isWhole)
}
