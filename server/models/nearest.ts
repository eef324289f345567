/** The names nearest to one that was not found. */

/** Longer input is cut: a name is short, and the distance takes time by the product of the lengths. */
const LONGEST = 128

/** At most `most` of `names`, nearest first by edits; a name that contains the wanted text, or lies in it, comes first. */
export function nearestNames(wanted: string, names: readonly string[], most = 3): string[] {
  const text = wanted.slice(0, LONGEST).toLowerCase()
  return names
    .map(name => {
      const other = name.slice(0, LONGEST).toLowerCase()
      const contained = text.length >= 3 && (other.includes(text) || text.includes(other))
      return { name, far: contained ? 0 : 1, edits: editDistance(text, other) }
    })
    .sort((a, b) => a.far - b.far || a.edits - b.edits || (a.name < b.name ? -1 : 1))
    .slice(0, most)
    .map(({ name }) => name)
}

/** Levenshtein distance: insertions, deletions and replacements of UTF-16 units. */
export function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const replaced = row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)
      next.push(Math.min(replaced, row[j]! + 1, next[j - 1]! + 1))
    }
    row = next
  }
  return row[b.length]!
}
