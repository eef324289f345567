/** What this machine really has to give: memory that is available now, under container limits too, and physical cores. */
import { execFile, execFileSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { availableParallelism, totalmem } from 'node:os'
import { posix } from 'node:path'

/** Reads a whole text file; undefined when there is none or it may not be read. */
export type ReadText = (path: string) => string | undefined

export type Memory = { totalBytes: number; availableBytes: number }

/**
 * Memory that new processes can take without swapping, in bytes. Page cache that can be dropped counts as available,
 * also inside a container, where the limit of every enclosing control group holds.
 */
export function readMemory(platform: NodeJS.Platform = process.platform, readText: ReadText = readFile): Memory {
  const total = totalmem()
  if (platform === 'linux') {
    const meminfo = readText('/proc/meminfo') ?? ''
    const kib = (name: string): number | undefined => {
      const value = new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(meminfo)?.[1]
      return value === undefined ? undefined : Number(value) * 1024
    }
    let totalBytes = kib('MemTotal') ?? total
    let availableBytes = kib('MemAvailable') ?? process.availableMemory()
    for (const group of controlGroups(readText)) {
      totalBytes = Math.min(totalBytes, group.limitBytes)
      availableBytes = Math.min(availableBytes, Math.max(0, group.limitBytes - group.usedBytes))
    }
    return { totalBytes, availableBytes }
  }
  if (platform === 'darwin') return { totalBytes: total, availableBytes: macAvailable() ?? process.availableMemory() }
  return { totalBytes: total, availableBytes: process.availableMemory() }
}

/** Limits of the control groups this process is in, version 1 and 2; a group without a limit is left out. */
function controlGroups(readText: ReadText): { limitBytes: number; usedBytes: number }[] {
  const groups: { limitBytes: number; usedBytes: number }[] = []
  for (const line of (readText('/proc/self/cgroup') ?? '').split('\n')) {
    const [hierarchy, controllers, path] = line.split(':')
    if (path === undefined) continue
    const second = hierarchy === '0' && controllers === ''
    if (!second && !controllers?.split(',').includes('memory')) continue
    const root = second ? '/sys/fs/cgroup' : '/sys/fs/cgroup/memory'
    // Inside a container the path may be the host's, while the mount shows only the container's own group: the root is read in any case.
    for (let folder = path; ; folder = posix.dirname(folder)) {
      const group = readGroup(`${root}${folder === '/' ? '' : folder}`, second, readText)
      if (group !== undefined) groups.push(group)
      if (folder === '/' || folder === '.') break
    }
  }
  return groups
}

function readGroup(
  folder: string,
  second: boolean,
  readText: ReadText,
): { limitBytes: number; usedBytes: number } | undefined {
  const limit = Number(readText(`${folder}/${second ? 'memory.max' : 'memory.limit_in_bytes'}`)?.trim() || Number.NaN)
  const used = Number(
    readText(`${folder}/${second ? 'memory.current' : 'memory.usage_in_bytes'}`)?.trim() || Number.NaN,
  )
  // Without a limit version 2 says `max` and version 1 a number near 2^63.
  if (!Number.isFinite(limit) || !Number.isFinite(used) || limit > 2 ** 60) return undefined
  const stat = readText(`${folder}/memory.stat`) ?? ''
  const field = (name: string): number => Number(new RegExp(`^${name} (\\d+)$`, 'm').exec(stat)?.[1] ?? 0)
  // Usage counts the page cache of mapped model files, which the kernel gives back when someone needs it.
  const cache = second
    ? field('inactive_file') + field('active_file')
    : field('total_inactive_file') + field('total_active_file')
  return { limitBytes: limit, usedBytes: Math.max(0, used - cache) }
}

/** Bytes free, inactive, speculative or purgeable, from the text of macOS's vm_stat. */
export function vmStatAvailable(text: string): number | undefined {
  const page = Number(/page size of (\d+) bytes/.exec(text)?.[1] ?? Number.NaN)
  const names = ['free', 'inactive', 'speculative', 'purgeable']
  const pages = names.map(name => Number(new RegExp(`^Pages ${name}:\\s+(\\d+)`, 'm').exec(text)?.[1] ?? 0))
  const bytes = page * pages.reduce((sum, count) => sum + count, 0)
  return Number.isNaN(bytes) ? undefined : bytes
}

function macAvailable(): number | undefined {
  try {
    return vmStatAvailable(execFileSync('vm_stat', { encoding: 'utf8', timeout: 1000 }))
  } catch {
    return undefined
  }
}

/**
 * Physical cores that this process may use; hyper-threads of one core count once. Where the system does not say,
 * half of the logical processors (at least one), since a thread too many costs more than one too few.
 */
export async function physicalCores(
  platform: NodeJS.Platform = process.platform,
  deps: {
    readText: ReadText
    list: (folder: string) => string[]
    runProgram: (file: string, args: string[]) => Promise<string>
    usable: number
  } = { readText: readFile, list: listFolder, runProgram: outputOf, usable: availableParallelism() },
): Promise<number> {
  const found = await countCores(platform, deps)
  if (found !== undefined && found > 0) return Math.min(found, deps.usable)
  return Math.max(1, Math.floor(deps.usable / 2))
}

async function countCores(
  platform: NodeJS.Platform,
  deps: Parameters<typeof physicalCores>[1] & object,
): Promise<number | undefined> {
  if (platform === 'linux') {
    const folder = '/sys/devices/system/cpu'
    const siblings = deps
      .list(folder)
      .filter(name => /^cpu\d+$/.test(name))
      .map(name => deps.readText(`${folder}/${name}/topology/thread_siblings_list`)?.trim())
      .filter(list => list !== undefined)
    return new Set(siblings).size
  }
  if (platform === 'darwin') return Number(await deps.runProgram('sysctl', ['-n', 'hw.physicalcpu']))
  if (platform === 'win32') {
    const command = '(Get-CimInstance Win32_Processor | Measure-Object -Property NumberOfCores -Sum).Sum'
    return Number(await deps.runProgram('powershell.exe', ['-NoProfile', '-NonInteractive', '-Command', command]))
  }
  return undefined
}

function readFile(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}

function listFolder(folder: string): string[] {
  try {
    return readdirSync(folder)
  } catch {
    return []
  }
}

function outputOf(file: string, args: string[]): Promise<string> {
  return new Promise(done => {
    execFile(file, args, { timeout: 5000, windowsHide: true }, (_error, stdout) => done(stdout.trim() || 'NaN'))
  })
}
