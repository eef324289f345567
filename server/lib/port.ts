/** Who holds a taken TCP port, if the system tells; best effort for an error message, so nothing here throws. */
import { execFile } from 'node:child_process'
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { createServer } from 'node:net'
import { basename } from 'node:path'

export type PortHolder = { pid: number /** program name, where known */; name?: string }

/** Runs a program and gives its output, or '' when it is missing, fails or takes more than two seconds. */
type RunProgram = (file: string, args: string[]) => Promise<string>

/** The process that listens on the port of this machine, or undefined when that cannot be known (another user's, a container's). */
export async function findPortHolder(
  port: number,
  platform: NodeJS.Platform = process.platform,
  runProgram: RunProgram = outputOf,
): Promise<PortHolder | undefined> {
  try {
    if (platform === 'linux') return linuxHolder(port)
    if (platform === 'win32') return await windowsHolder(port, runProgram)
    return await lsofHolder(port, runProgram)
  } catch {
    return undefined
  }
}

/** The message for a taken port; names the holder where it is known. */
export function portTakenMessage(host: string, port: number, holder: PortHolder | undefined): string {
  const who =
    holder === undefined
      ? 'another program; which one cannot be seen from here'
      : `${holder.name ?? 'a program'} (process ${holder.pid})`
  return `Port ${port} of ${host} is taken by ${who}. Stop it, or choose another port with --port (0 takes any free one).`
}

/** Inodes of the sockets that listen on the port, from the text of /proc/net/tcp or tcp6. */
export function listeningInodes(table: string, port: number): string[] {
  const hex = port.toString(16).toUpperCase().padStart(4, '0')
  const inodes: string[] = []
  for (const line of table.split('\n').slice(1)) {
    // sl local_address rem_address st tx:rx tr:when retrnsmt uid timeout inode ...
    const fields = line.trim().split(/\s+/)
    if (fields[3] === '0A' && fields[1]?.endsWith(`:${hex}`) && fields[9] !== undefined) inodes.push(fields[9])
  }
  return inodes
}

/** Pid of the process that listens on the port, from the text of `netstat -ano -p TCP`; its state word is translated, so it is not read. */
export function netstatPid(text: string, port: number): number | undefined {
  for (const line of text.split(/\r?\n/)) {
    const [protocol, local, remote, , pid] = line.trim().split(/\s+/)
    // Only a listening socket has a remote port of 0.
    if (protocol === 'TCP' && local?.endsWith(`:${port}`) && remote?.endsWith(':0') && pid !== undefined) {
      return Number(pid)
    }
  }
  return undefined
}

function linuxHolder(port: number): PortHolder | undefined {
  const inodes = new Set(['/proc/net/tcp', '/proc/net/tcp6'].flatMap(path => listeningInodes(read(path), port)))
  if (inodes.size === 0) return undefined
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue
    let descriptors: string[]
    try {
      descriptors = readdirSync(`/proc/${entry}/fd`)
    } catch {
      continue
    }
    for (const descriptor of descriptors) {
      const inode = /^socket:\[(\d+)\]$/.exec(link(`/proc/${entry}/fd/${descriptor}`))?.[1]
      if (inode === undefined || !inodes.has(inode)) continue
      // Not /proc/PID/comm: that is the name of the first thread, which Node calls MainThread.
      const name = basename(read(`/proc/${entry}/cmdline`).split('\0')[0] ?? '')
      return { pid: Number(entry), ...(name !== '' && { name }) }
    }
  }
  return undefined
}

async function windowsHolder(port: number, runProgram: RunProgram): Promise<PortHolder | undefined> {
  const pid = netstatPid(await runProgram('netstat', ['-ano', '-p', 'TCP']), port)
  if (pid === undefined) return undefined
  const row = await runProgram('tasklist', ['/FI', `PID eq ${pid}`, '/FO', 'CSV', '/NH'])
  const name = /^"([^"]+)"/.exec(row.trim())?.[1]
  return { pid, ...(name !== undefined && { name }) }
}

async function lsofHolder(port: number, runProgram: RunProgram): Promise<PortHolder | undefined> {
  // -F writes one field per line: p<pid>, c<command>.
  const text = await runProgram('lsof', ['-nP', `-iTCP:${port}`, '-sTCP:LISTEN', '-Fpc'])
  const pid = /^p(\d+)$/m.exec(text)?.[1]
  const name = /^c(.+)$/m.exec(text)?.[1]
  return pid === undefined ? undefined : { pid: Number(pid), ...(name !== undefined && { name }) }
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}

function link(path: string): string {
  try {
    return readlinkSync(path)
  } catch {
    return ''
  }
}

function outputOf(file: string, args: string[]): Promise<string> {
  return new Promise(done => {
    execFile(file, args, { timeout: 2000, windowsHide: true, maxBuffer: 2 ** 24 }, (_error, stdout) => done(stdout))
  })
}

/** Whether this address could be listened on now. */
export function isPortFree(host: string, port: number): Promise<boolean> {
  return new Promise(resolve => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen({ host, port, exclusive: true }, () => server.close(() => resolve(true)))
  })
}
