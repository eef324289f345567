#!/usr/bin/env node
/** The `ai-hub` command: finds Node 24 and runs the hub's command line on it. Plain JavaScript, so that an older Node can run it too. */
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const WANTED = 24
const here = dirname(fileURLToPath(import.meta.url))

/** The Node that the project brings as a package of its own for this system, or the one that runs this file, if that is new enough. */
function findNode() {
  if (Number(process.versions.node.split('.')[0]) >= WANTED) return process.execPath
  const file = process.platform === 'win32' ? 'node.exe' : 'node'
  const require = createRequire(import.meta.url)
  for (const name of [
    `node-${process.platform === 'win32' ? 'win' : process.platform}-${process.arch}`,
    `node-bin-${process.platform}-${process.arch}`,
  ]) {
    try {
      const path = join(dirname(require.resolve(`${name}/package.json`)), 'bin', file)
      if (existsSync(path)) return path
    } catch {
      // This package is not for this system; the next one may be.
    }
  }
  return undefined
}

const node = findNode()
if (node === undefined) {
  console.error(
    `ai-hub needs Node ${WANTED} or newer; this is ${process.version}, and no package with a newer one is installed for ${process.platform}-${process.arch}. ` +
      `Run "npm ci" in ${dirname(here)} (without --omit=optional), or install Node ${WANTED} from nodejs.org.`,
  )
  process.exit(1)
}

const child = spawn(node, [join(here, 'main.ts'), ...process.argv.slice(2)], { stdio: 'inherit' })
// Ctrl+C reaches the child by the terminal itself; this process only waits for its answer.
process.on('SIGINT', () => {})
for (const signal of ['SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal))
child.on('error', error => {
  console.error(`ai-hub cannot start ${node}: ${error.message}`)
  process.exit(1)
})
child.on('exit', (code, signal) => {
  process.exit(code ?? (signal === 'SIGINT' ? 130 : 1))
})
