/** Vietnamese text for the vocabulary and the first stage: the project's own sample data. */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import * as z from 'zod'
import type { Document } from './corpus.ts'

const Samples = z.array(z.looseObject({ instruction: z.string(), input: z.string().optional(), output: z.string() }))
export type VietnameseSample = z.infer<typeof Samples>[number]

/** Empty where the file is not there. @param root of the project */
export function vietnameseSamples(root: string): VietnameseSample[] {
  const path = join(root, 'training_data', 'vietnamese_coding.sample.json')
  return existsSync(path) ? Samples.parse(JSON.parse(readFileSync(path, 'utf8'))) : []
}

export function vietnameseDocuments(root: string): Document[] {
  return vietnameseSamples(root).map(({ instruction, input, output }, index) => ({
    source: 'vietnamese_coding.sample.json',
    path: `vietnamese_coding.sample.json/${index}`,
    kind: 'vietnamese',
    text: `${[instruction, input, output].filter(part => part !== undefined && part !== '').join('\n\n')}\n`,
  }))
}
