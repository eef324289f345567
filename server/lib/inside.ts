/** Keeps paths that a caller names inside one folder, also where links point. */
import { realpathSync } from 'node:fs'
import { basename, dirname, isAbsolute, join, relative, resolve } from 'node:path'
import { HubError } from './error.ts'

/**
 * The real absolute path; a relative one starts from the folder. What does not exist yet may be named where its
 * nearest existing parent lies inside.
 * @throws HubError invalid_request when it lies or leads outside; the message names the folder
 */
export function insideFolder(folder: string, path: string, param: string): string {
  const outside = () =>
    new HubError('invalid_request', `Invalid '${param}': the path has to lie inside ${folder}; copy the file there.`, {
      param,
    })
  if (path.includes('\0')) throw outside()
  const root = realpathSync(folder)
  const found = realOf(resolve(folder, path))
  const from = relative(root, found)
  // On another drive Windows gives back an absolute path.
  if (from === '..' || from.startsWith('../') || from.startsWith('..\\') || isAbsolute(from)) throw outside()
  return found
}

/** With every link resolved, as far as the path exists. */
function realOf(path: string): string {
  try {
    return realpathSync(path)
  } catch {
    const parent = dirname(path)
    return parent === path ? path : join(realOf(parent), basename(path))
  }
}
