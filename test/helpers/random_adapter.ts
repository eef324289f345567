/** LoRA adapters with seeded random values over a base file, strong enough to change what it says. */
import { writeAdapter } from '../../server/trainer/adapter.ts'
import { readGguf, scalar } from '../../server/trainer/gguf_read.ts'
import { randomAt } from '../../server/trainer/random.ts'

export type RandomAdapter = {
  seed?: number
  rank?: number
  alpha?: number
  /** Deviation of both halves, in units that make B x A about as large as the weights at 1. */
  strength?: number
  /** Projections, as the file names them; every matrix of the blocks by default. */
  targets?: string[]
  type?: 'F32' | 'F16'
  /** Written instead of that of the base. */
  architecture?: string
}

/** @returns bytes of the file */
export function writeRandomAdapter(path: string, basePath: string, options: RandomAdapter = {}): number {
  const { seed = 1, rank = 4, alpha = 8, strength = 1, targets, type = 'F32' } = options
  const base = readGguf(basePath)
  const shapes = new Map<string, [number, number]>()
  for (const { name, shape } of base.tensors) {
    const [, target] = /^blk\.\d+\.(\w+)\.weight$/.exec(name) ?? []
    const [columns, rows] = shape
    if (target === undefined || rows === undefined || (targets !== undefined && !targets.includes(target))) continue
    shapes.set(`${name}.lora_a`, [columns!, rank])
    shapes.set(`${name}.lora_b`, [rank, rows])
  }
  const names = [...shapes.keys()]
  return writeAdapter(
    path,
    {
      names,
      shape: name => shapes.get(name)!,
      get(name) {
        const [columns, rows] = shapes.get(name)!
        const random = randomAt(seed, 77, names.indexOf(name))
        const scale = name.endsWith('a') ? strength / Math.sqrt(columns) : strength / Math.sqrt(rank * (alpha / rank))
        return Float32Array.from({ length: columns * rows }, () => (2 * random() - 1) * scale)
      },
    },
    {
      architecture: options.architecture ?? String(scalar(base.metadata.get('general.architecture'))),
      alpha,
      basePath,
      baseSha256: '0'.repeat(64),
      type,
    },
  )
}
