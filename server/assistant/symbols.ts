/** An index of the files of a workspace: where names are declared, and which files speak of the same things. Bounded in memory, and filled file by file. */
import { type Declaration, declarationsIn } from './declarations.ts'
import type { Chunk } from './surroundings.ts'

type File = {
  path: string
  declarations: Declaration[] /** Hashes of its words, sorted. */
  words: Int32Array
  characters: number
}

const MOST_FILES = 4000
const MOST_CHARACTERS = 8_000_000
const MOST_WORDS = 320
/** Members that a type is shown with. */
const MOST_MEMBERS = 12
/** Names looked up for one place, and characters given for them. */
const MOST_NAMES = 12
const MOST_GIVEN = 2000
/** Files that share less with a place say nothing about it. */
const LEAST_LIKENESS = 0.12
/** How long the event loop is held while files are compared. */
const TURN_MS = 3
/** Looks ahead only: of `const enum A` both words are read. */
const DECLARED =
  /\b(?:function|class|interface|type|enum|def|func|fn|struct|const|let|var|val)(?=\s+([\p{L}_$][\p{L}\p{N}_$]*))/gu

export class Symbols {
  readonly #files = new Map<string, File>()
  readonly #byName = new Map<string, Set<string>>()
  #characters = 0

  get size(): number {
    return this.#files.size
  }

  has(uri: string): boolean {
    return this.#files.has(uri)
  }

  /** A file is as given now; its `uri` tells it apart. */
  update(uri: string, path: string, text: string): void {
    this.remove(uri)
    const declarations = declarationsIn(path, text)
    const words = wordHashes(text)
    const characters = declarations.reduce((sum, each) => sum + each.text.length + 60, 4 * words.length)
    this.#files.set(uri, { path, declarations, words, characters })
    this.#characters += characters
    for (const { name } of declarations) {
      const uris = this.#byName.get(name)
      if (uris === undefined) this.#byName.set(name, new Set([uri]))
      else uris.add(uri)
    }
    while (this.#files.size > MOST_FILES || this.#characters > MOST_CHARACTERS) {
      const [oldest] = this.#files.keys()
      if (oldest === undefined || oldest === uri) break
      this.remove(oldest)
    }
  }

  remove(uri: string): void {
    const file = this.#files.get(uri)
    if (file === undefined) return
    this.#files.delete(uri)
    this.#characters -= file.characters
    for (const { name } of file.declarations) {
      const uris = this.#byName.get(name)
      uris?.delete(uri)
      if (uris?.size === 0) this.#byName.delete(name)
    }
  }

  /**
   * Declarations of the names near a cursor, by file: those that the file imports first, then those nearest to the cursor.
   * @param place.head the first lines of the file, with its imports
   * @param place.near what stands around the cursor, the nearest last; what is declared there need not be told
   * @param place.line the cursor's line up to the cursor
   */
  declarationsFor(place: { uri: string; path: string; head: string; near: string; line: string }): Chunk[] {
    const { uri, path, head, near, line } = place
    const imported = importsOf(head)
    const shown = new Map<string, Set<string>>()
    let room = MOST_GIVEN
    for (const name of wantedNames(near, line, imported)) {
      const file = this.#nearest(name, uri, path, imported.get(name))
      if (file === undefined) continue
      for (const { text } of described(file, name)) {
        const texts = shown.get(file.path) ?? new Set()
        if (texts.has(text) || room < text.length) continue
        room -= text.length
        shown.set(file.path, texts.add(text))
      }
    }
    return [...shown].map(([file, texts]) => ({ path: file, text: `${[...texts].join('\n')}\n` }))
  }

  /** Files that have most in common with a text, two at most. */
  async similar(uri: string, around: string, signal: AbortSignal): Promise<{ uri: string; path: string }[]> {
    const wanted = new Set(wordHashes(around))
    const best: { uri: string; path: string; score: number }[] = []
    let turn = performance.now()
    for (const [other, { path, words }] of [...this.#files]) {
      if (performance.now() - turn > TURN_MS) {
        await new Promise(resolve => setImmediate(resolve))
        if (signal.aborted) return []
        turn = performance.now()
      }
      if (other === uri || words.length === 0) continue
      let common = 0
      for (const word of words) if (wanted.has(word)) common++
      // Of the smaller text, so that a long file is not put last for its length.
      const score = common / Math.max(20, Math.min(words.length, wanted.size))
      if (score < LEAST_LIKENESS) continue
      best.push({ uri: other, path, score })
      best.sort((a, b) => b.score - a.score)
      best.length = Math.min(best.length, 2)
    }
    return best.map(({ uri: found, path }) => ({ uri: found, path }))
  }

  /** The file that most likely declares a name: the one that an import names, else the one nearest by its folder. */
  #nearest(name: string, uri: string, path: string, from: string | undefined): File | undefined {
    const module = from
      ?.replace(/\.\w{1,4}$/, '')
      .split(/[/.:\\]+/)
      .filter(Boolean)
      .at(-1)
    let best: { file: File; score: number } | undefined
    for (const other of this.#byName.get(name) ?? []) {
      const file = this.#files.get(other)
      if (file === undefined || other === uri) continue
      const bare = file.path.slice(file.path.lastIndexOf('/') + 1).replace(/\.[^.]*$/, '')
      const score =
        (module !== undefined && file.path.includes(module) ? (bare === module ? 2000 : 1000) : 0) +
        shared(file.path, path)
      if (best === undefined || score > best.score) best = { file, score }
    }
    // A name that nothing imports is told only where few files have it: else it would be a guess.
    const count = this.#byName.get(name)?.size ?? 0
    return best === undefined || (best.score < 1000 && count > 3) ? undefined : best.file
  }
}

/** A declaration with what belongs to it. */
function described(file: File, name: string): Declaration[] {
  const own = file.declarations.filter(each => each.name === name)
  const heads = own.some(({ isType, owner }) => isType || owner === undefined)
    ? own.filter(({ isType, owner }) => isType || owner === undefined)
    : own
  const members = heads.some(({ isType }) => isType)
    ? file.declarations.filter(({ owner }) => owner === name).slice(0, MOST_MEMBERS)
    : []
  return [...heads.slice(0, 2), ...members]
}

/** Names that imports of a file bring in, with what they come from. */
export function importsOf(head: string): Map<string, string> {
  const names = new Map<string, string>()
  const add = (list: string, from: string): void => {
    for (const [name] of list.matchAll(/[\p{L}_$][\p{L}\p{N}_$]*/gu))
      if (!/^(type|as|from|import|typeof|default)$/.test(name)) names.set(name, from)
  }
  for (const [, list, from] of head.matchAll(/^import\s+([^'"]{1,2000}?)\s+from\s+['"]([^'"]+)['"]/gm))
    add(list!, from!)
  for (const [, list, from] of head.matchAll(
    /\b(?:const|let|var)\s+(\{[^}]{1,1000}\}|[\w$]+)\s*=\s*require\(\s*['"]([^'"]+)/g,
  ))
    add(list!, from!)
  for (const [, from, list] of head.matchAll(/^\s*from\s+([\w.]+)\s+import\s+(\([^)]{1,2000}\)|[^\n]+)/gm))
    add(list!, from!)
  for (const [, from, list] of head.matchAll(/^\s*(?:pub\s+)?use\s+([\w:]+)(?:::\{([^}]{1,1000})\}|)\s*;/gm))
    add(list ?? from!.split('::').at(-1)!, from!)
  for (const [, from] of head.matchAll(/^\s*(?:import|using|use)\s+(?:static\s+)?([\w.\\]+)\s*;?\s*$/gm))
    add(from!.split(/[.\\]/).at(-1)!, from!)
  for (const [, from] of head.matchAll(/^\s*#\s*include\s+"([^"]+)"/gm))
    names.set(from!.replace(/^.*\/|\.\w+$/g, ''), from!)
  return names
}

/** Identifiers near the cursor that may be declared elsewhere, the most telling first. */
function wantedNames(near: string, line: string, imported: ReadonlyMap<string, string>): string[] {
  const identifiers = (text: string): string[] =>
    [...text.matchAll(/[\p{L}_$][\p{L}\p{N}_$]{2,}/gu)].map(([name]) => name).reverse()
  const all = [...new Set([...identifiers(line), ...identifiers(near)])]
  const declaredHere = new Set([...near.matchAll(DECLARED)].map(([, name]) => name))
  const first = all.filter(name => imported.has(name))
  const rest = all.filter(name => !imported.has(name) && !declaredHere.has(name))
  return [...first, ...rest].slice(0, 4 * MOST_NAMES)
}

function shared(a: string, b: string): number {
  let length = 0
  while (length < a.length && a[length] === b[length]) length++
  return length
}

/** Hashes of the words of a text, each once. */
function wordHashes(text: string): Int32Array {
  const seen = new Set<number>()
  for (const [word] of text.slice(0, 60_000).matchAll(/[\p{L}_$][\p{L}\p{N}_$]{3,}/gu)) {
    let value = 2166136261
    for (let at = 0; at < word.length; at++) value = Math.imul(value ^ word.charCodeAt(at), 16777619)
    seen.add(value | 0)
    if (seen.size >= MOST_WORDS) break
  }
  return Int32Array.from(seen).sort()
}
