/** Paths that come from outside: they lead into the home or are refused, links included. */
import { realpath } from 'node:fs/promises'
import { isAbsolute, relative, resolve } from 'node:path'
import { HubError } from '../lib/error.ts'

/**
 * The real path of a file or folder inside the home; a relative one starts there.
 * @throws HubError invalid_request naming a path that leads out, not_found for one that leads nowhere
 */
export async function pathInsideHome(home: string, path: string, param: string): Promise<string> {
  const root = await realpath(home)
  const wanted = resolve(root, path)
  // Outside is refused before it is looked for: whether a file exists elsewhere is nobody's business.
  if (path.includes('\0') || !(isInside(root, wanted) || isInside(resolve(home), wanted))) throw outside(path, param)
  let real: string
  try {
    real = await realpath(wanted)
  } catch (cause) {
    throw new HubError('not_found', `There is no file or folder '${path}' in the home.`, { param, cause })
  }
  if (!isInside(root, real)) throw outside(path, param)
  return real
}

function isInside(folder: string, path: string): boolean {
  const rest = relative(folder, path)
  return rest === '' || !(rest === '..' || /^\.\.[\\/]/.test(rest) || isAbsolute(rest))
}

function outside(path: string, param: string): HubError {
  return new HubError(
    'invalid_request',
    `'${path}' leads out of the home. Copy the data into training_data of the home first.`,
    { param },
  )
}
