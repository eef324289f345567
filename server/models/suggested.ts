/** A short list of well-known open models in GGUF, and which of them suit the memory of this machine, the best first. */
import type { MemoryFit, PullPurpose, Suggestion } from '../wire/pull.ts'
import { fitOfSize, type ModelSpace } from './estimate.ts'
import { gigabytes } from './pull_choose.ts'
import { folderByName } from './pull_name.ts'

type Known = {
  id: string
  name: string
  repo: string
  license: string
  purposes: PullPurpose[]
  languages: string[]
  /** Parameters that work on each token, in billions: what decides the speed. */
  activeBillions: number
  kvBytesPerToken: number
  /** Approximate bytes by quantisation, the preferred first. */
  quants: { [quant: string]: number }
}

const GB = 1e9
const KIB = 1024
const MANY = ['en', 'vi', 'zh', 'fr', 'de', 'ja', 'es']

/** From the smallest to the largest of each kind. Sizes as the repositories showed them; the download says the true ones. */
export const KNOWN: readonly Known[] = [
  {
    id: 'qwen3-0.6b',
    name: 'Qwen3 0.6B',
    repo: 'Qwen/Qwen3-0.6B-GGUF',
    license: 'apache-2.0',
    purposes: ['chat'],
    languages: MANY,
    activeBillions: 0.6,
    kvBytesPerToken: 112 * KIB,
    quants: { Q8_0: 0.64 * GB },
  },
  {
    id: 'qwen3-1.7b',
    name: 'Qwen3 1.7B',
    repo: 'Qwen/Qwen3-1.7B-GGUF',
    license: 'apache-2.0',
    purposes: ['chat'],
    languages: MANY,
    activeBillions: 1.7,
    kvBytesPerToken: 112 * KIB,
    quants: { Q8_0: 1.83 * GB },
  },
  {
    id: 'qwen3-4b',
    name: 'Qwen3 4B',
    repo: 'Qwen/Qwen3-4B-GGUF',
    license: 'apache-2.0',
    purposes: ['chat', 'code'],
    languages: MANY,
    activeBillions: 4,
    kvBytesPerToken: 144 * KIB,
    quants: { Q4_K_M: 2.5 * GB, Q5_K_M: 2.89 * GB, Q6_K: 3.31 * GB, Q8_0: 4.28 * GB },
  },
  {
    id: 'gemma-3-4b',
    name: 'Gemma 3 4B',
    repo: 'ggml-org/gemma-3-4b-it-GGUF',
    license: 'gemma',
    purposes: ['chat'],
    languages: MANY,
    activeBillions: 3.9,
    kvBytesPerToken: 136 * KIB,
    quants: { Q4_K_M: 2.49 * GB, Q8_0: 4.13 * GB },
  },
  {
    id: 'qwen3-8b',
    name: 'Qwen3 8B',
    repo: 'Qwen/Qwen3-8B-GGUF',
    license: 'apache-2.0',
    purposes: ['chat', 'code'],
    languages: MANY,
    activeBillions: 8.2,
    kvBytesPerToken: 144 * KIB,
    quants: { Q4_K_M: 5.03 * GB, Q5_K_M: 5.85 * GB, Q6_K: 6.73 * GB, Q8_0: 8.71 * GB },
  },
  {
    id: 'qwen3-14b',
    name: 'Qwen3 14B',
    repo: 'Qwen/Qwen3-14B-GGUF',
    license: 'apache-2.0',
    purposes: ['chat', 'code'],
    languages: MANY,
    activeBillions: 14.8,
    kvBytesPerToken: 160 * KIB,
    quants: { Q4_K_M: 9 * GB, Q5_K_M: 10.5 * GB, Q6_K: 12.1 * GB, Q8_0: 15.7 * GB },
  },
  {
    id: 'qwen3-30b-a3b',
    name: 'Qwen3 30B-A3B',
    repo: 'Qwen/Qwen3-30B-A3B-GGUF',
    license: 'apache-2.0',
    purposes: ['chat', 'code'],
    languages: MANY,
    activeBillions: 3.3,
    kvBytesPerToken: 96 * KIB,
    quants: { Q4_K_M: 18.6 * GB, Q5_K_M: 21.7 * GB, Q6_K: 25.1 * GB, Q8_0: 32.5 * GB },
  },
  {
    id: 'qwen2.5-coder-0.5b',
    name: 'Qwen2.5 Coder 0.5B',
    repo: 'ggml-org/Qwen2.5-Coder-0.5B-Q8_0-GGUF',
    license: 'apache-2.0',
    purposes: ['completion'],
    languages: ['en'],
    activeBillions: 0.5,
    kvBytesPerToken: 12 * KIB,
    quants: { Q8_0: 0.53 * GB },
  },
  {
    id: 'qwen2.5-coder-1.5b',
    name: 'Qwen2.5 Coder 1.5B',
    repo: 'ggml-org/Qwen2.5-Coder-1.5B-Q8_0-GGUF',
    license: 'apache-2.0',
    purposes: ['completion'],
    languages: ['en'],
    activeBillions: 1.5,
    kvBytesPerToken: 28 * KIB,
    quants: { Q8_0: 1.65 * GB },
  },
  {
    id: 'qwen2.5-coder-7b',
    name: 'Qwen2.5 Coder 7B',
    repo: 'ggml-org/Qwen2.5-Coder-7B-Q8_0-GGUF',
    license: 'apache-2.0',
    purposes: ['completion'],
    languages: ['en'],
    activeBillions: 7.6,
    kvBytesPerToken: 56 * KIB,
    quants: { Q8_0: 8.1 * GB },
  },
  {
    id: 'qwen2.5-coder-1.5b-instruct',
    name: 'Qwen2.5 Coder 1.5B Instruct',
    repo: 'Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF',
    license: 'apache-2.0',
    purposes: ['code', 'completion'],
    languages: ['en'],
    activeBillions: 1.5,
    kvBytesPerToken: 28 * KIB,
    quants: { Q4_K_M: 1.12 * GB, Q8_0: 1.89 * GB },
  },
  {
    id: 'qwen2.5-coder-7b-instruct',
    name: 'Qwen2.5 Coder 7B Instruct',
    repo: 'Qwen/Qwen2.5-Coder-7B-Instruct-GGUF',
    license: 'apache-2.0',
    purposes: ['code', 'completion'],
    languages: ['en', 'vi', 'zh'],
    activeBillions: 7.6,
    kvBytesPerToken: 56 * KIB,
    quants: { Q4_K_M: 4.68 * GB, Q5_K_M: 5.44 * GB, Q6_K: 6.25 * GB, Q8_0: 8.1 * GB },
  },
  {
    id: 'gpt-oss-20b',
    name: 'gpt-oss 20B',
    repo: 'ggml-org/gpt-oss-20b-GGUF',
    license: 'apache-2.0',
    purposes: ['chat', 'code'],
    languages: ['en'],
    activeBillions: 3.6,
    kvBytesPerToken: 48 * KIB,
    quants: { MXFP4: 12.1 * GB },
  },
  {
    id: 'nomic-embed-text-v1.5',
    name: 'Nomic Embed Text v1.5',
    repo: 'nomic-ai/nomic-embed-text-v1.5-GGUF',
    license: 'apache-2.0',
    purposes: ['embedding'],
    languages: ['en'],
    activeBillions: 0.14,
    kvBytesPerToken: 36 * KIB,
    quants: { Q8_0: 0.15 * GB },
  },
  {
    id: 'qwen3-embedding-0.6b',
    name: 'Qwen3 Embedding 0.6B',
    repo: 'Qwen/Qwen3-Embedding-0.6B-GGUF',
    license: 'apache-2.0',
    purposes: ['embedding'],
    languages: MANY,
    activeBillions: 0.6,
    kvBytesPerToken: 112 * KIB,
    quants: { Q8_0: 0.64 * GB },
  },
]

/** Billions of active parameters beyond which an answer on the CPU is too slow to wait for, by purpose. */
const CPU_PACE: { [purpose in PullPurpose]: number } = { chat: 4.5, code: 4.5, completion: 1.6, embedding: 1 }
/** Main memory is for other programs, too: the first choice leaves them this part of what models may take. */
const LEFT_TO_OTHERS = 0.4
/** On a graphics card only the completion of typing is in such a hurry. */
const DEVICE_PACE: { [purpose in PullPurpose]: number } = { chat: 40, code: 40, completion: 8, embedding: 1 }

/**
 * What fits, the best first: the largest model of each purpose that is quick enough here leads, then the quick ones by size, then the slow ones.
 * @param isHere whether a file of this repository and quantisation is there already
 */
export function suggest(space: ModelSpace, isHere: (repo: string, quant: string) => boolean): Suggestion[] {
  const fitting = KNOWN.flatMap(known => {
    const found = bestQuant(known, space)
    return found === undefined ? [] : [{ known, ...found }]
  })
  const pace = (known: Known, purpose: PullPurpose, fit: MemoryFit['fit']): boolean =>
    known.activeBillions <= (fit === 'device' ? DEVICE_PACE : CPU_PACE)[purpose]
  const leaders = new Map<PullPurpose, string>()
  for (const purpose of ['chat', 'code', 'completion', 'embedding'] as const) {
    const able = fitting.filter(({ known }) => known.purposes.includes(purpose))
    const quick = able.filter(
      ({ known, memory }) =>
        pace(known, purpose, memory.fit) &&
        (memory.fit === 'device' || memory.need_bytes <= (1 - LEFT_TO_OTHERS) * memory.free_bytes),
    )
    // With nothing quick, the one that is least slow.
    const leader =
      [...quick].sort((a, b) => strength(b.known, purpose) - strength(a.known, purpose))[0] ??
      [...able].sort((a, b) => a.known.activeBillions - b.known.activeBillions)[0]
    if (leader !== undefined) leaders.set(purpose, leader.known.id)
  }
  return fitting
    .map(({ known, quant, bytes, memory }) => {
      const { id, name, repo, license, purposes, languages } = known
      const best = [...leaders].filter(([, leader]) => leader === id).map(([purpose]) => purpose)
      const isQuick = purposes.some(purpose => pace(known, purpose, memory.fit))
      return {
        id,
        name,
        model: `${repo}:${quant}`,
        quant,
        bytes,
        license,
        purposes,
        languages,
        folder: folderByName(repo),
        memory,
        reason: tellReason(best, memory, isQuick),
        best_for: best,
        installed: isHere(repo, quant),
        order:
          best.length > 0 ? Math.min(...best.map(purpose => [...leaders.keys()].indexOf(purpose))) : isQuick ? 8 : 9,
      }
    })
    .sort((a, b) => a.order - b.order || b.bytes - a.bytes)
    .map(({ order: _, ...suggestion }) => suggestion)
}

/** The preferred quantisation, or the largest that fits where only others do; undefined where none does. */
function bestQuant(known: Known, space: ModelSpace): { quant: string; bytes: number; memory: MemoryFit } | undefined {
  const all = Object.entries(known.quants).map(([quant, bytes]) => ({
    quant,
    bytes,
    memory: fitOfSize(bytes, space, known.kvBytesPerToken),
  }))
  return (
    all.find(({ memory }) => memory.fit !== 'no' && memory.fit !== 'shared') ??
    all.find(({ memory }) => memory.fit !== 'no')
  )
}

/** How much a model can, roughly: all its weights count, those that rest at each token less. For code a coder of a size beats a general one. */
function strength(known: Known, purpose: PullPurpose): number {
  const [bytes = 0] = Object.values(known.quants)
  const size = Math.sqrt(known.activeBillions * (bytes / GB))
  const isCoder = /coder/i.test(known.name)
  const isBase = isCoder && !known.purposes.includes('code')
  if (purpose === 'code') return size * (isCoder ? 1.5 : 1)
  // Completion is what the base models were made for.
  if (purpose === 'completion') return size * (isBase ? 1.2 : 1)
  return size * (known.languages.includes('vi') ? 1.2 : 1) * (known.license === 'gemma' ? 0.9 : 1)
}

function tellReason(best: readonly PullPurpose[], memory: MemoryFit, isQuick: boolean): string {
  const where = {
    device: 'fits the graphics card whole',
    memory: 'fits the memory',
    shared: 'fits the graphics card in part, the rest runs on the processor',
    no: 'does not fit',
  }[memory.fit]
  const figures = `needs about ${gigabytes(memory.need_bytes)} of ${gigabytes(memory.free_bytes)}`
  const lead = best.length === 0 ? '' : `Best for ${best.map(tellPurpose).join(' and ')} here: `
  const slow = isQuick ? '' : '; answers slowly here'
  const text = `${lead}${where}, ${figures}${slow}.`
  return text[0]!.toUpperCase() + text.slice(1)
}

const tellPurpose = (purpose: PullPurpose): string =>
  ({ chat: 'chat', code: 'questions about code', completion: 'completing code', embedding: 'finding text by meaning' })[
    purpose
  ]
