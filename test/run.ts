/** Runs the tests: every *.test.ts under test/, or with --fast all but *.slow.test.ts, or with --vulkan or --gpu those of test/gpu; further arguments select files by a part of their path. */
import { spawn } from 'node:child_process'
import { globSync } from 'node:fs'
import { join, relative, resolve, sep } from 'node:path'
import { run } from 'node:test'
import { spec } from 'node:test/reporters'
import { findGpu, findSoftwareVulkan } from './gpu/find.ts'

const ROOT = resolve(import.meta.dirname, '..')
const args = process.argv.slice(2)
const fast = args.includes('--fast')
const wanted = args.filter(arg => !arg.startsWith('-'))
// --vulkan: a software driver; --gpu, or --gpu=VARIANT: the machine's GPU. Elsewhere the tests on a GPU are skipped by name.
const gpu = args.find(arg => /^--(vulkan|gpu(=.+)?)$/.test(arg))

const files = globSync('test/**/*.test.ts', { cwd: ROOT })
  .map(file => file.split(sep).join('/'))
  .filter(file => !(fast && file.endsWith('.slow.test.ts')))
  .filter(file => gpu === undefined || file.startsWith('test/gpu/'))
  .filter(file => wanted.length === 0 || wanted.some(part => file.includes(part.split(sep).join('/'))))
  .sort()
// Those in a real VS Code come last: by then what they need is installed, beside the others.
const inHost = files.filter(file => file.startsWith('test/host/'))
const ordered = [...files.filter(file => !inHost.includes(file)), ...inHost]

const unknown = args.filter(arg => arg.startsWith('-') && arg !== '--fast' && arg !== gpu)
if (unknown.length > 0 || files.length === 0) {
  console.error(
    unknown.length > 0
      ? `unknown option ${unknown[0]}; there are --fast, --vulkan, --gpu and --gpu=VARIANT`
      : `no test file matches ${wanted}`,
  )
  process.exit(2)
}

if (gpu !== undefined) {
  const found = gpu === '--vulkan' ? findSoftwareVulkan() : findGpu(gpu.split('=')[1])
  if ('missing' in found) {
    console.error(found.missing)
    process.exit(2)
  }
  console.log(`on ${found.device}`)
  // The files run in processes of their own, which inherit it.
  Object.assign(process.env, found.environment)
}

// What could not be installed is not tried again in this run.
process.env.AI_HUB_TEST_RUN = String(process.pid)
if (inHost.length > 0) spawn(process.execPath, [join(ROOT, 'test', 'host', 'install.ts')], { stdio: 'inherit' })

const skipped: { name: string; type: 'suite' | 'test' }[] = []
let failed = false
// Two files at once: the native thread pools of several workers would otherwise wait busily for each other.
// The timeout is for a file that left a process or a socket open and so never ends: it fails instead of waiting for ever.
const events = run({ files: ordered.map(file => join(ROOT, file)), concurrency: 2, cwd: ROOT, timeout: 600_000 })
events.on('test:pass', event => {
  // `skip` is true or the reason.
  if (event.skip === undefined || event.skip === false) return
  const file = event.file === undefined ? '' : `${relative(ROOT, event.file).split(sep).join('/')}: `
  const reason = typeof event.skip === 'string' && event.skip !== '' ? ` (${event.skip})` : ''
  skipped.push({
    name: `${file}${event.name}${reason}`,
    type: event.details.type === 'suite' ? 'suite' : 'test',
  })
})
events.on('test:fail', event => {
  if (event.todo === undefined || event.todo === false) failed = true
})
events.on('end', () => {
  // The spec reporter is a stream of its own; the list comes after its last line.
  process.on('exit', () => {
    const suites = skipped.filter(one => one.type === 'suite').length
    const tests = skipped.length - suites
    console.log(
      `\nskipped: ${tests} tests${suites > 0 ? ` and ${suites} whole suites` : ''}${fast ? '; slow files were left out by --fast' : ''}`,
    )
    for (const one of skipped) console.log(`  - ${one.name}`)
  })
  process.exitCode = failed ? 1 : 0
})
events.compose(new spec()).pipe(process.stdout)
