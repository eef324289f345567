/** Finds the prebuilt native libraries that node-llama-cpp's platform packages carry; imports none of their JavaScript. */
import { existsSync, readdirSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { HubError } from '../lib/error.ts'

/** One build of the libraries. `cuda-ext` needs the CUDA 12 runtime, `cuda` the CUDA 13 one, `vulkan` a driver only. */
export type Variant = 'cpu' | 'vulkan' | 'cuda' | 'cuda-ext' | 'metal'

export const VARIANTS: readonly Variant[] = ['cuda', 'cuda-ext', 'metal', 'vulkan', 'cpu']

const PLATFORM: { [platform: string]: string } = { linux: 'linux', win32: 'win', darwin: 'mac' }

function packageName(variant: Variant, platform: string, arch: string): string {
  return `${PLATFORM[platform] ?? platform}-${arch}${variant === 'cpu' ? '' : `-${variant}`}`
}

/** Folders with packages of npm; last the one of home that the hub names, with libraries that were fetched on request. */
function roots(): string[] {
  const fetched = process.env.AI_HUB_NATIVE
  const installed = createRequire(import.meta.url).resolve.paths('koffi') ?? []
  return [...installed, ...(fetched === undefined || fetched === '' ? [] : [fetched])]
}

/** What brings the libraries of a variant that are missing. */
export function howToInstall(variant: Variant): string {
  return variant.startsWith('cuda') ? 'run "ai-hub cuda", which fetches them' : 'run "npm ci"'
}

/** The folder with the libraries of a variant, or undefined when its package is not installed. */
export function findBins(
  variant: Variant,
  platform: string = process.platform,
  arch: string = process.arch,
): string | undefined {
  // This package carries only another CUDA backend, to be used with the libraries of the first.
  if (variant === 'cuda-ext')
    return findFallback(platform, arch) === undefined ? undefined : findBins('cuda', platform, arch)
  const name = packageName(variant, platform, arch)
  for (const root of roots()) {
    const folder = join(root, '@node-llama-cpp', name, 'bins', name)
    if (existsSync(folder)) return folder
  }
  // Apple's arm64 package serves its CPU through the Metal build.
  return variant === 'cpu' && platform === 'darwin' && arch === 'arm64' ? findBins('metal', platform, arch) : undefined
}

/** The folder with the CUDA backend on the older runtime, which `cuda-ext` carries; undefined when it is not installed. */
export function findFallback(platform: string = process.platform, arch: string = process.arch): string | undefined {
  for (const root of roots()) {
    const folder = join(
      root,
      '@node-llama-cpp',
      packageName('cuda-ext', platform, arch),
      'bins',
      packageName('cuda', platform, arch),
      'fallback',
    )
    if (existsSync(folder)) return folder
  }
  return undefined
}

/** Variants whose package is installed, the preferred first. That a package is there does not say that its GPU works: probe it. */
export function installedVariants(): Variant[] {
  return VARIANTS.filter(variant => findBins(variant) !== undefined)
}

/** A library of that base name, whatever release and variant its file name carries. */
export function libraryFile(folder: string, base: 'ggml-base' | 'ggml' | 'llama' | 'ggml-cuda'): string {
  const pattern = new RegExp(`^(lib)?${base}(\\.(vulkan|cuda|metal))?(\\.v[\\d.]+)?\\.(so|dll|dylib)$`)
  const file = readdirSync(folder).find(name => pattern.test(name))
  if (file === undefined) {
    throw new HubError('internal', `${folder} holds no ${base} library; run "npm ci" again`)
  }
  return join(folder, file)
}

/** Source of the release that the binaries were built from, inside node-llama-cpp; undefined when not installed. */
export function sourceBundle(): string | undefined {
  const require = createRequire(import.meta.url)
  for (const root of require.resolve.paths('koffi') ?? []) {
    const file = join(root, 'node-llama-cpp', 'llama', 'gitRelease.bundle')
    if (existsSync(file)) return file
  }
  return undefined
}
