/** The quantisations that a repository offers, and which of them is fetched: the one that was named, else the best that fits. */
import { HubError } from '../lib/error.ts'
import type { MemoryFit } from '../wire/pull.ts'
import { splitName } from './grouping.ts'

export type RemoteFile = { path: string; bytes: number; sha256?: string }
/** One model of a repository: all its parts, first part first. */
export type Variant = { quant: string; path: string; files: RemoteFile[]; bytes: number }

/** From the coarsest to the finest; between two neighbours the finer one is slightly larger. */
const QUALITY = [
  ...['IQ1_S', 'IQ1_M', 'TQ1_0', 'TQ2_0', 'IQ2_XXS', 'IQ2_XS', 'IQ2_S', 'IQ2_M', 'Q2_K_S', 'Q2_K', 'Q2_K_L', 'Q2_K_XL'],
  ...['IQ3_XXS', 'IQ3_XS', 'Q3_K_S', 'IQ3_S', 'IQ3_M', 'Q3_K_M', 'Q3_K', 'Q3_K_L', 'Q3_K_XL'],
  ...['IQ4_XS', 'Q4_0', 'IQ4_NL', 'Q4_K_S', 'MXFP4', 'MXFP4_MOE', 'Q4_1'],
  ...['Q4_K_M', 'Q4_K', 'Q4_K_L', 'Q4_K_XL'],
  ...['Q5_0', 'Q5_K_S', 'Q5_1', 'Q5_K_M', 'Q5_K', 'Q5_K_L', 'Q5_K_XL', 'Q6_K', 'Q6_K_L', 'Q6_K_XL'],
  ...['Q8_0', 'Q8_K_XL', 'BF16', 'F16', 'F32'],
]
const PREFERRED = QUALITY.indexOf('Q4_K_M')
/** All names of quantisations as alternatives of a pattern, the longer ones first. */
const NAMES = [...QUALITY, 'FP16', 'FP32'].sort((a, b) => b.length - a.length).join('|')
const QUANT = new RegExp(`(?:^|[^a-z0-9])(?:UD-)?(${NAMES})(?![a-z0-9])`, 'gi')
const QUANT_AT_END = new RegExp(`[-._](?:UD-)?(?:${NAMES})$`, 'i')

/** The quantisation that a path names, in capitals; that of the file before that of its folders. */
export function quantOf(path: string): string | undefined {
  const found = [...path.matchAll(QUANT)].at(-1)?.[1]?.toUpperCase()
  return found?.replace(/^FP/, 'F')
}

/** The name of a model without its quantisation, in small letters: `qwen3-4b` of `Qwen3-4B-GGUF` and of `Qwen3-4B-Q4_K_M`. */
export const stemOf = (name: string): string =>
  name
    .replace(/-GGUF$/i, '')
    .replace(QUANT_AT_END, '')
    .toLowerCase()

/** The models among the files of a repository. Projectors, importance matrices and incomplete split models are left out. */
export function variantsOf(files: readonly RemoteFile[]): Variant[] {
  const groups = new Map<string, { parts: number; files: RemoteFile[] }>()
  for (const file of files) {
    if (!/\.gguf$/i.test(file.path)) continue
    const name = file.path.split('/').at(-1) ?? ''
    if (/mmproj|imatrix/i.test(name)) continue
    const { base, parts } = splitName(name)
    const key = `${file.path.slice(0, -name.length)}${base}/${parts}`
    const group = groups.get(key)
    if (group) group.files.push(file)
    else groups.set(key, { parts, files: [file] })
  }
  return [...groups.values()]
    .filter(group => group.files.length === group.parts)
    .map(group => {
      const sorted = group.files.sort((a, b) => (a.path < b.path ? -1 : 1))
      const path = sorted[0]?.path ?? ''
      const bytes = sorted.reduce((sum, file) => sum + file.bytes, 0)
      return { quant: quantOf(path) ?? 'unknown', path, files: sorted, bytes }
    })
    .sort((a, b) => rank(a) - rank(b) || a.bytes - b.bytes)
}

/**
 * @param wanted a quantisation, or the path of one file
 * @param fit where a model of so many bytes would run
 * @throws HubError not_found that lists what there is; insufficient_memory when nothing fits and none was named
 */
export function chooseVariant(
  variants: readonly Variant[],
  wanted: { quant?: string | undefined; path?: string | undefined },
  fit: (bytes: number) => MemoryFit,
  repo: string,
): Variant {
  if (variants.length === 0) {
    throw new HubError('not_found', `${repo} holds no GGUF model. Look for a repository whose name ends in -GGUF.`, {
      param: 'model',
    })
  }
  const { quant, path } = wanted
  if (path !== undefined) {
    const found = variants.find(variant => variant.files.some(file => file.path === path))
    if (found !== undefined) return found
    throw new HubError('not_found', `${repo} has no model ${path}. There is ${tellVariants(variants)}.`, {
      param: 'model',
    })
  }
  if (quant !== undefined) {
    const plain = quant.toUpperCase().replace(/^UD-/, '').replace(/^FP/, 'F')
    const named = variants.filter(variant => variant.quant === plain)
    const exact = named.filter(variant => variant.path.toUpperCase().includes(quant.toUpperCase()))
    const found = simplest(exact.length > 0 ? exact : named)
    if (found !== undefined) return found
    throw new HubError('not_found', `${repo} has no ${quant}. There is ${tellVariants(variants)}.`, { param: 'quant' })
  }
  const fitting = variants.filter(variant => fit(variant.bytes).fit !== 'no')
  // The whole model on one device beats a finer one on two.
  const whole = fitting.filter(variant => fit(variant.bytes).fit !== 'shared')
  const best = bestOf(whole) ?? bestOf(fitting)
  if (best !== undefined) return best
  const smallest = [...variants].sort((a, b) => a.bytes - b.bytes)[0] ?? variants[0]!
  const { need_bytes, free_bytes } = fit(smallest.bytes)
  throw new HubError(
    'insufficient_memory',
    `${repo} does not fit: its smallest, ${smallest.quant}, needs about ${gigabytes(need_bytes)} and models may take ${gigabytes(free_bytes)}. Choose a smaller model, or name a quantisation to get it all the same.`,
    { param: 'model' },
  )
}

/** Q4_K_M, else the next finer one, else the next coarser one. */
function bestOf(variants: readonly Variant[]): Variant | undefined {
  const finer = variants.filter(variant => rank(variant) >= PREFERRED)
  const least = Math.min(...finer.map(rank))
  const fine = simplest(finer.filter(variant => rank(variant) === least))
  if (fine !== undefined && least <= QUALITY.indexOf('Q8_K_XL')) return fine
  const coarser = variants.filter(variant => rank(variant) < PREFERRED)
  const most = Math.max(...coarser.map(rank))
  return simplest(coarser.filter(variant => rank(variant) === most)) ?? fine
}

/** Of several of one quantisation: in one file before split, a common one before a special one, the shorter name. */
function simplest(variants: readonly Variant[]): Variant | undefined {
  const order = (variant: Variant) => [variant.files.length, /UD-/i.test(variant.path) ? 1 : 0, variant.path.length]
  return [...variants].sort((a, b) => order(a).reduce((sum, value, i) => sum || value - order(b)[i]!, 0))[0]
}

/** Place in QUALITY; what says no quantisation counts as unquantised. */
function rank(variant: Variant): number {
  const index = QUALITY.indexOf(variant.quant)
  return index < 0 ? QUALITY.length : index
}

function tellVariants(variants: readonly Variant[]): string {
  const shown = variants.slice(0, 30).map(({ quant, bytes }) => `${quant} (${gigabytes(bytes)})`)
  return [...new Set(shown)].join(', ') + (variants.length > 30 ? ` and ${variants.length - 30} more` : '')
}

export const gigabytes = (bytes: number): string =>
  bytes >= 1e9 ? `${(bytes / 1e9).toFixed(1)} GB` : `${Math.max(1, Math.round(bytes / 1e6))} MB`
