/** Numbers as people read them, and names as the hub takes them. */

export function formatBytes(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
  let unit = 0
  let value = bytes
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024
    unit++
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`
}

/** `40 s`, `12 min`, `3 h 20 min` */
export function formatDuration(seconds: number): string {
  if (seconds < 90) return `${Math.max(1, Math.round(seconds))} s`
  const minutes = Math.round(seconds / 60)
  if (minutes < 90) return `${minutes} min`
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`
}

export function formatPercent(fraction: number): string {
  return `${Math.floor(fraction * 100)}%`
}

/** A name that datasets and adapters take; of a text without Latin letters or digits, `data`. */
export function toName(text: string): string {
  const plain = text.normalize('NFKD').replace(/\p{M}/gu, '').replace(/[đĐ]/g, 'd')
  const name = plain
    .replace(/[^A-Za-z0-9_-]+/g, '-')
    .replace(/^[-_]+/, '')
    .slice(0, 60)
    .replace(/-+$/, '')
  return name === '' ? 'data' : name
}
