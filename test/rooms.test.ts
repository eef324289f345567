/** The import rule of the design: imports point down, never sideways, there is no cycle, and each native or framework package has one owner. */
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve, sep } from 'node:path'
import { test } from 'node:test'

const ROOT = resolve(import.meta.dirname, '..')

/** Level of each room; a room may import itself and any room of a lower level. */
const LEVEL: { [room: string]: number } = {
  'server/wire': 0,
  // Only programs may import native; it throws lib's errors, so it stands above lib.
  'server/native': 1,
  'server/lib': 0,
  'server/storage': 1,
  'server/security': 2,
  'server/models': 2,
  'server/routing': 3,
  'server/training': 3,
  'server/documents': 3,
  'server/knowledge': 3,
  'server/voice': 3,
  'server/images': 3,
  'server/assistant': 4,
  'server/http': 5,
  'server/lsp': 5,
  'server/cli': 5,
  // Parts of the hub's composition.
  'server/editors.ts': 5.5,
  'server/hub_checks.ts': 5.5,
  'server/hub_loading.ts': 5.5,
  'server/hub_pulls.ts': 5.5,
  'server/hub_routes.ts': 5.6,
  'server/hub_status.ts': 5.5,
  'server/hub.ts': 6,
  'server/commands.ts': 7,
  'server/main.ts': 8,
}
/** Programs that are started by path: they share wire, lib and native only. */
const PROGRAMS = ['server/worker', 'server/trainer']
/** wire speaks of errors as they cross a border, so it may name types of lib. */
const TYPE_ONLY: [from: string, to: string][] = [
  ['server/wire', 'server/lib'],
  ['extension', 'server/wire'],
  ['webview', 'server/wire'],
]
/** Which rooms may import a package that has an owner. */
const OWNER: { [name: string]: string[] } = {
  koffi: ['server/native'],
  'node-llama-cpp': ['server/native'],
  'better-sqlite3': ['server/storage'],
  express: ['server/http'],
  busboy: ['server/http'],
  ignore: ['server/lib'],
  'swagger-ui-dist': ['server/http'],
  ws: ['server/http', 'server/cli', 'extension'],
  chokidar: ['server/models'],
  '@huggingface/jinja': ['server/worker'],
  'vscode-languageserver': ['server/lsp'],
  'vscode-languageclient': ['extension'],
  react: ['webview'],
  'react-dom': ['webview'],
  'markdown-it': ['webview'],
  dompurify: ['webview'],
  'highlight.js': ['webview'],
  katex: ['webview'],
  uplot: ['webview'],
  esbuild: ['extension', 'webview'],
}

type Import = { from: string; to: string; typeOnly: boolean }

function sources(folder: string): string[] {
  return readdirSync(join(ROOT, folder), { withFileTypes: true, recursive: true })
    .filter(entry => entry.isFile() && /\.tsx?$/.test(entry.name))
    .map(entry => relative(ROOT, join(entry.parentPath, entry.name)).split(sep).join('/'))
}

function imports(file: string): Import[] {
  const text = readFileSync(join(ROOT, file), 'utf8')
  const found: Import[] = []
  for (const match of text.matchAll(
    /^\s*(?:import|export)\s+(type\s)?[^'"`;]*?from\s+['"]([^'"]+)['"]|\bimport\(\s*['"]([^'"]+)['"]\s*\)|^\s*import\s+['"]([^'"]+)['"]/gm,
  )) {
    found.push({ from: file, to: match[2] ?? match[3] ?? match[4] ?? '', typeOnly: match[1] !== undefined })
  }
  return found
}

const roomOf = (file: string): string => {
  const parts = file.split('/')
  return parts[0] === 'server' ? parts.slice(0, 2).join('/') : parts[0]!
}
const target = (edge: Import): string =>
  relative(ROOT, resolve(ROOT, dirname(edge.from), edge.to))
    .split(sep)
    .join('/')

const folders = readdirSync(ROOT, { withFileTypes: true })
  .filter(entry => entry.isDirectory() && ['server', 'extension', 'webview'].includes(entry.name))
  .map(entry => entry.name)
const all = folders.flatMap(sources).flatMap(imports)

test('every room has a level', () => {
  const rooms = new Set(sources('server').map(roomOf))
  const unknown = [...rooms].filter(room => !(room in LEVEL) && !PROGRAMS.includes(room) && !room.endsWith('.ts'))
  assert.deepEqual(unknown, [])
})

test('imports point down', () => {
  const wrong = all
    .filter(edge => edge.to.startsWith('.'))
    .filter(edge => {
      const from = roomOf(edge.from)
      const to = roomOf(target(edge))
      if (from === to) return false
      if (edge.typeOnly && TYPE_ONLY.some(([a, b]) => a === from && b === to)) return false
      if (PROGRAMS.includes(from)) return !['server/wire', 'server/lib', 'server/native'].includes(to)
      if (to === 'server/native') return true
      return (LEVEL[from] ?? -1) <= (LEVEL[to] ?? 99)
    })
  assert.deepEqual(wrong, [])
})

test('packages are imported by their owner only', () => {
  const wrong = all.filter(edge => {
    const name = edge.to.startsWith('@') ? edge.to.split('/').slice(0, 2).join('/') : edge.to.split('/')[0]!
    const owners = OWNER[name]
    return owners !== undefined && !owners.includes(roomOf(edge.from))
  })
  assert.deepEqual(wrong, [])
})

test('there is no import cycle', () => {
  const graph = new Map<string, string[]>()
  for (const edge of all) {
    if (!edge.to.startsWith('.')) continue
    graph.set(edge.from, [...(graph.get(edge.from) ?? []), target(edge)])
  }
  const done = new Set<string>()
  const visit = (file: string, path: string[]): void => {
    assert.ok(!path.includes(file), `import cycle: ${[...path.slice(path.indexOf(file)), file].join(' -> ')}`)
    if (done.has(file)) return
    for (const next of graph.get(file) ?? []) visit(next, [...path, file])
    done.add(file)
  }
  for (const file of graph.keys()) visit(file, [])
})

test('wire imports zod only', () => {
  const wrong = all.filter(edge => roomOf(edge.from) === 'server/wire' && edge.to !== 'zod' && !edge.to.startsWith('.'))
  assert.deepEqual(wrong, [])
})
