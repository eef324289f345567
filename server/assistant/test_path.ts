/** Where the tests of a file belong: by the tests that the workspace has, else by the custom of the language. */
import { posix } from 'node:path'

/** What a test's name is made of, NAME being that of the file without its ending. */
type Naming = { folder: (dir: string) => string; name: (name: string) => string }

const beside = (dir: string): string => dir
const suffixed =
  (suffix: string) =>
  (name: string): string =>
    `${name}${suffix}`
const prefixed =
  (prefix: string) =>
  (name: string): string =>
    `${prefix}${name}`
/** `src/a/b` -> `test/a/b`: the tree mirrored under another root. */
const mirrored =
  (root: string) =>
  (dir: string): string =>
    posix.join(root, dir.replace(/^(src|lib|app)(\/|$)/, ''))
const named = (folder: (dir: string) => string, name: (name: string) => string): Naming => ({ folder, name })

const JS: Naming[] = ['.test', '.spec'].flatMap(suffix =>
  [beside, (dir: string) => posix.join(dir, '__tests__'), mirrored('test'), mirrored('tests')].map(folder =>
    named(folder, suffixed(suffix)),
  ),
)
const PYTHON: Naming[] = [mirrored('tests'), mirrored('test'), beside, (dir: string) => posix.join(dir, 'tests')]
  .flatMap(folder => [named(folder, prefixed('test_')), named(folder, suffixed('_test'))])
  // All tests in one folder.
  .concat(named(() => 'tests', prefixed('test_')))
const javaFolder = (dir: string): string => dir.replace(/(^|\/)src\/main\//, '$1src/test/')

const NAMINGS: { [ending: string]: Naming[] } = {
  '.ts': JS,
  '.tsx': JS,
  '.js': JS,
  '.jsx': JS,
  '.mjs': JS,
  '.cjs': JS,
  '.mts': JS,
  '.py': PYTHON,
  '.go': [named(beside, suffixed('_test'))],
  '.java': [named(javaFolder, suffixed('Test')), named(javaFolder, suffixed('Tests'))],
  '.kt': [named(javaFolder, suffixed('Test'))],
  '.cs': [named(beside, suffixed('Tests')), named(beside, suffixed('Test'))],
  '.rb': [
    named(mirrored('spec'), suffixed('_spec')),
    named(mirrored('test'), suffixed('_test')),
    named(mirrored('test'), prefixed('test_')),
  ],
  '.php': [named(mirrored('tests'), suffixed('Test'))],
  '.c': [named(mirrored('tests'), prefixed('test_')), named(mirrored('test'), suffixed('_test'))],
  '.cpp': [named(mirrored('tests'), suffixed('_test')), named(mirrored('test'), suffixed('_test'))],
  '.dart': [named(dir => mirrored('test')(dir), suffixed('_test'))],
  '.swift': [named(() => 'Tests', suffixed('Tests'))],
  '.lua': [named(mirrored('spec'), suffixed('_spec'))],
}

const IS_TEST = /(^|\/)(test_[^/]+|[^/]+(_test|_spec|\.test|\.spec|Tests?)\.\w+|__tests__\/.+)$/

export function isTestPath(path: string): boolean {
  return IS_TEST.test(path)
}

/**
 * @param path of the file in its workspace, with forward slashes
 * @param files paths of the workspace, likewise; the naming that most of them follow is taken
 * @returns the path of its tests; the file itself where the language keeps them in it (Rust); undefined where nothing is known
 */
export function testPathOf(path: string, files: readonly string[]): string | undefined {
  const { dir, name, ext } = posix.parse(path)
  if (ext === '.rs') return path
  const namings = NAMINGS[ext]
  if (namings === undefined || isTestPath(path)) return undefined
  const known = new Set(files)
  const candidates = namings.map(naming => posix.join(naming.folder(dir), naming.name(name) + ext))
  const present = candidates.find(candidate => known.has(candidate))
  if (present !== undefined) return present
  const votes = namings.map(() => 0)
  for (const file of files) {
    const other = posix.parse(file)
    if (other.ext !== ext || isTestPath(file)) continue
    for (const [index, naming] of namings.entries()) {
      if (known.has(posix.join(naming.folder(other.dir), naming.name(other.name) + ext))) votes[index]!++
    }
  }
  let best = votes.indexOf(Math.max(...votes))
  // Tests whose files are not known still show how they are named and where they lie.
  if (votes[best] === 0) {
    const likeness = namings.map(naming => {
      const folder = naming.folder(dir)
      const pattern = posix.join(folder, naming.name('*') + ext)
      const [head = '', tail = ''] = posix.basename(pattern).split('*')
      const inName = files.filter(file => {
        const base = posix.basename(file)
        return base.startsWith(head) && base.endsWith(tail) && base.length > head.length + tail.length
      })
      const top = folder.split('/')[0]
      return inName.length * 2 + inName.filter(file => file.split('/')[0] === top).length
    })
    best = likeness.indexOf(Math.max(...likeness))
  }
  return candidates[best]
}
