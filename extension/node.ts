/** Finds a real Node 24 for the hub: the editor's own runtime may be Electron, whose native interface is another one. */
import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { delimiter, join } from 'node:path'

export const WANTED_NODE = 24

export type NodeSearch = {
  /** The folder with server/ and, in a package, node/. */
  program: string
  platform?: NodeJS.Platform
  arch?: string
  path?: string
  /** Of the process that asks. */
  self?: { execPath: string; version: string; isElectron: boolean }
  /** `v24.1.0` as a program says it, or undefined when it does not run. */
  versionOf?(file: string): string | undefined
}

/** Absolute path of a Node that is new enough: the one that is brought along, else one of the PATH; undefined when there is none. */
export function findNode(search: NodeSearch): string | undefined {
  const { program, platform = process.platform, arch = process.arch, versionOf = askVersion } = search
  const self = search.self ?? {
    execPath: process.execPath,
    version: process.versions.node,
    isElectron: process.versions.electron !== undefined,
  }
  const file = platform === 'win32' ? 'node.exe' : 'node'
  const brought = [
    join(program, 'node', file),
    join(program, 'node_modules', `node-${platform === 'win32' ? 'win' : platform}-${arch}`, 'bin', file),
    join(program, 'node_modules', `node-bin-${platform}-${arch}`, 'bin', file),
  ].find(path => existsSync(path))
  if (brought !== undefined) return brought
  if (!self.isElectron && isNewEnough(self.version)) return self.execPath
  for (const folder of (search.path ?? process.env.PATH ?? '').split(delimiter)) {
    const path = join(folder, file)
    if (folder !== '' && existsSync(path) && isNewEnough(versionOf(path))) return path
  }
  return undefined
}

function isNewEnough(version: string | undefined): boolean {
  return Number(/^v?(\d+)\./.exec(version ?? '')?.[1] ?? 0) >= WANTED_NODE
}

function askVersion(file: string): string | undefined {
  try {
    return execFileSync(file, ['--version'], { encoding: 'utf8', timeout: 5000, windowsHide: true }).trim()
  } catch {
    return undefined
  }
}
