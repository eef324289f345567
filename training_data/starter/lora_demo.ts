/** The trainer shown at work: an adapter that learns the code of one folder, and the loss on pieces of it that it never saw. */
import { readdirSync, readFileSync } from 'node:fs'
import { join, relative, sep } from 'node:path'
import { writeTokenFile } from '../../server/trainer/data.ts'
import type { TrainerJobInput } from '../../server/wire/trainer.ts'
import { cleanText } from './clean.ts'
import { type Document, kindOf } from './corpus.ts'
import { hashOf } from './packages.ts'
import { documentSequences } from './samples.ts'
import type { Tokenizer } from './tokenizer.ts'

/** Every fifth piece is kept for testing. */
const KEPT = 5
const SETTINGS: Omit<TrainerJobInput, 'base' | 'tokens' | 'output'> = {
  mode: { type: 'lora', rank: 32, alpha: 64 },
  rowTokens: 512,
  rowsPerStep: 4,
  epochs: 8,
  rate: 3e-3,
  warmupShare: 0.05,
  optimizer: { weightDecay: 0.01, beta2: 0.98 },
  validateEverySteps: 20,
  checkpointEverySteps: 100,
  patience: 4,
  layerCheckpointing: false,
  lowPriority: false,
}

/** Code below a folder, without what is installed there. */
export function codeBelow(folder: string): Document[] {
  const found: Document[] = []
  const visit = (at: string): void => {
    for (const entry of readdirSync(at, { withFileTypes: true })) {
      if (entry.name === 'node_modules' || entry.name.startsWith('.')) continue
      const full = join(at, entry.name)
      if (entry.isDirectory()) visit(full)
      else if (kindOf(entry.name) === 'code') {
        const text = cleanText(entry.name, readFileSync(full, 'utf8'))
        const path = relative(folder, full).split(sep).join('/')
        if (text !== undefined) found.push({ source: folder, path, kind: 'code', text })
      }
    }
  }
  visit(folder)
  return found.sort((a, b) => (hashOf(a.path) < hashOf(b.path) ? -1 : 1))
}

/** Writes both token files into the work folder and gives the job. @throws Error where the folder has too little code */
export function prepareDemo(
  tokenizer: Tokenizer,
  base: string,
  folder: string,
  at: (name: string) => string,
): TrainerJobInput & { validation: string } {
  const pieces = documentSequences(tokenizer, codeBelow(folder), { seed: 1, pass: 0, fimShare: 0 })
  if (pieces.length < 2 * KEPT)
    throw new Error(`${folder} has too little code that can be learned from; choose a larger folder`)
  const vocabularySize = tokenizer.size
  const write = (name: string, wanted: (index: number) => boolean): void => {
    const sequences = pieces.filter((_, index) => wanted(index % KEPT))
    writeTokenFile(at(name), { kind: 'samples', vocabularySize, sequences })
  }
  write('lora.tokens', place => place > 0)
  write('lora_validation.tokens', place => place === 0)
  return {
    ...SETTINGS,
    base,
    tokens: at('lora.tokens'),
    validation: at('lora_validation.tokens'),
    output: at('lora.gguf'),
  }
}
