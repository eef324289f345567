/**
 * `npm run starter`: makes the starter model from nothing; started again, it goes on where it was. `-- --eval` measures the model that
 * is there, `-- --lora FOLDER` trains an adapter for the code of a folder.
 */
import { copyFileSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { basename, dirname, join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { physicalCores } from '../../server/lib/memory.ts'
import { type Sequence, writeTokenFile } from '../../server/trainer/data.ts'
import { randomAt, shuffle } from '../../server/trainer/random.ts'
import { TrainerJob, type TrainerJobInput } from '../../server/wire/trainer.ts'
import { heldOutNames, makeCard, readCard, writeCard } from './card.ts'
import { allExchanges, chatSequences } from './chat.ts'
import { type Corpus, type Document, gatherCorpus } from './corpus.ts'
import { parametersOf, readVocabulary, writeQuantised, writeSkeleton } from './gguf.ts'
import { prepareDemo } from './lora_demo.ts'
import { lossOn } from './loss.ts'
import { type Curve, plotLoss } from './plot.ts'
import {
  ABOUT,
  LARGE_SHAPE,
  MIX2,
  MIX3,
  type Mix,
  PASSES,
  SEED,
  SHAPE,
  STAGE1,
  STAGE2,
  STAGE3,
  VIETNAMESE_TIMES,
  VIETNAMESE_WEIGHT,
  VOCABULARY,
} from './recipe.ts'
import { readCurve, runTrainer } from './run_trainer.ts'
import { documentSequences, infillSequences, ROW } from './samples.ts'
import { Tokenizer, trainTokenizer, type Vocabulary } from './tokenizer.ts'
import { vietnameseDocuments } from './vietnamese.ts'

const ROOT = resolve(import.meta.dirname, '..', '..')
const { values } = parseArgs({
  options: {
    work: { type: 'string', default: join(import.meta.dirname, 'work') },
    root: { type: 'string', default: ROOT },
    out: { type: 'string', default: join(ROOT, 'local_models', 'code_models', 'starter.gguf') },
    threads: { type: 'string' },
    eval: { type: 'boolean', default: false },
    lora: { type: 'string' },
    large: { type: 'boolean', default: false },
    library: { type: 'string' },
  },
})
const root = resolve(values.root)
const at = (name: string): string => join(resolve(values.work), name)
const model = resolve(values.out)
const cardPath = model.replace(/\.gguf$/, '.model.json')
const note = (line: string): void => console.log(line)
const shape = values.large ? LARGE_SHAPE : SHAPE
const library = TrainerJob.shape.library.unwrap().optional().parse(values.library)
const machine = {
  ...(values.threads !== undefined && { threads: Number(values.threads) }),
  ...(library !== undefined && { library }),
}

mkdirSync(resolve(values.work), { recursive: true })
if (values.eval) await measure()
else if (values.lora !== undefined) await showLora(values.lora)
else await make()

async function make(): Promise<void> {
  const corpus = kept('corpus.json', () => gatherCorpus(root, process.env, vietnameseDocuments(root)))
  const vocabulary = kept('vocabulary.json', (): Vocabulary => trainTokenizer(weighted(corpus.training), VOCABULARY))
  const tokenizer = new Tokenizer(vocabulary)
  if (!existsSync(at('skeleton.gguf'))) writeSkeleton(at('skeleton.gguf'), shape, vocabulary, ABOUT)

  const often = corpus.training.flatMap(document =>
    document.kind === 'vietnamese' ? Array.from({ length: VIETNAMESE_TIMES }, () => document) : [document],
  )
  const documents = (pass: number, more: { row?: number; fimShare?: number } = {}): Sequence[] =>
    documentSequences(tokenizer, often, { seed: SEED, pass, ...more })
  tokens('validation', tokenizer, () =>
    // Every so many: enough to see the trend, few enough not to cost the run its time.
    documentSequences(tokenizer, corpus.heldOut, { seed: SEED, pass: 0, fimShare: 0 }).filter(
      (_, index) => index % 6 === 0,
    ),
  )
  tokens('stage1', tokenizer, () => Array.from({ length: PASSES }, (_, pass) => documents(pass)).flat())
  await train('stage1', { ...STAGE1, base: at('skeleton.gguf') }, true)
  const mixed = ({ pass, chatPasses, times, documentTokens, infillTokens }: Mix): Sequence[] => {
    const exchanges = allExchanges(root, SEED).flatMap(each =>
      Array.from({ length: times[each.topic] ?? 1 }, () => each),
    )
    const chat = Array.from({ length: chatPasses }, (_, index) =>
      chatSequences(tokenizer, exchanges, { seed: SEED, pass: (pass - PASSES) * 10 + index }),
    )
    const pieces = shuffled(documents(pass, { row: 2 * ROW, fimShare: 0 }))
    const taken: Sequence[] = []
    for (let sum = 0, next = 0; sum < documentTokens && next < pieces.length; sum += pieces[next++]!.tokens.length)
      taken.push(pieces[next]!)
    const infill = infillSequences(tokenizer, often, { seed: SEED, pass, tokens: infillTokens })
    return [...chat.flat(), ...taken, ...infill]
  }
  tokens('stage2', tokenizer, () => mixed(MIX2))
  await train('stage2', { ...STAGE2, base: at('stage1.gguf') })
  tokens('stage3', tokenizer, () => mixed(MIX3))
  await train('stage3', { ...STAGE3, base: at('stage2.gguf') })

  mkdirSync(dirname(model), { recursive: true })
  const bytes = writeQuantised(at('stage3.gguf'), model, shape, vocabulary, ABOUT)
  const curves = [
    await curveOf('stage1', 'stage 1, code and text'),
    await curveOf('stage2', 'stage 2, infill and chat'),
    await curveOf('stage3', 'stage 3, more chat'),
  ]
  writeFileSync(join(import.meta.dirname, 'loss.svg'), plotLoss(curves))
  const { size } = tokenizer
  const card = makeCard({
    corpus,
    curves,
    tokensPerStep: [STAGE1, STAGE2, STAGE3].map(({ rowTokens, rowsPerStep }) => rowTokens! * rowsPerStep!),
    parameters: parametersOf(shape, size),
    shape,
    vocabulary: size,
  })
  writeCard(cardPath, card)
  note(`wrote ${model} (${(bytes / 2 ** 20).toFixed(1)} MiB) and its card; "npm run starter -- --eval" measures it`)
}

async function measure(): Promise<void> {
  const card = readCard(cardPath)
  if (card === undefined) throw new Error(`${cardPath} is not there; make the model first with "npm run starter"`)
  // The text that it learned from where that is still there; elsewhere what was held out then is held out now, whatever is installed.
  const corpus = existsSync(at('corpus.json'))
    ? (JSON.parse(readFileSync(at('corpus.json'), 'utf8')) as Corpus)
    : gatherCorpus(root, process.env, vietnameseDocuments(root), heldOutNames(card))
  const tokenizer = new Tokenizer(readVocabulary(model))
  // It starts a hub, which making the model does without.
  const { evaluate } = await import('./evaluate.ts')
  const measured = await evaluate(model, tokenizer, corpus, note)
  const machine = `${cpus()[0]?.model.trim() ?? 'unknown'}, ${await physicalCores()} cores, ${process.platform}`
  const demo = card.evaluation?.lora_demo
  writeCard(cardPath, { ...card, evaluation: { ...measured, machine, ...(demo && { lora_demo: demo }) } })
  note(JSON.stringify(measured, undefined, 2))
}

async function showLora(folder: string): Promise<void> {
  const tokenizer = new Tokenizer(readVocabulary(model))
  for (const name of ['lora.gguf', 'lora.gguf.checkpoint', 'lora.jsonl']) rmSync(at(name), { force: true })
  const job = prepareDemo(tokenizer, model, resolve(folder), at)
  const before = await lossOn(model, job.validation)
  note(`loss on the pieces of ${folder} that it will not see: ${before.toFixed(4)} nats per token`)
  const startedMs = performance.now()
  await runTrainer({ ...job, ...machine }, at('lora.jsonl'), note)
  const minutes = (performance.now() - startedMs) / 60_000
  const losses = readCurve('lora', at('lora.jsonl')).validation.map(([, loss]) => loss)
  const after = Math.min(...losses)
  const name = basename(resolve(folder)).replace(/[^\p{L}\p{N}_-]/gu, '-')
  const target = join(root, 'trained_models', 'starter', `${name}.gguf`)
  mkdirSync(dirname(target), { recursive: true })
  copyFileSync(at('lora.gguf'), target)
  const percent = (100 * (1 - after / before)).toFixed(1)
  note(
    `after ${minutes.toFixed(1)} minutes: ${after.toFixed(4)}, ${percent} % less; the hub serves it as starter:${name}`,
  )
  const card = readCard(cardPath)
  // Only what was kept from the model shows anything: its figure belongs into the card.
  if (card?.evaluation === undefined || !heldOutNames(card).includes(basename(resolve(folder)))) return
  const used = values.threads === undefined ? Math.max(1, (await physicalCores()) - 1) : Number(values.threads)
  const demo = {
    package: name,
    loss_before: round(before),
    loss_after: round(after),
    minutes: round(minutes),
    threads: used,
  }
  writeCard(cardPath, { ...card, evaluation: { ...card.evaluation, lora_demo: demo } })
}

function round(value: number): number {
  return Math.round(value * 1000) / 1000
}

/** The result of an earlier run, or a new one that is kept for the next. */
function kept<T extends Corpus | Vocabulary>(name: string, compute: () => T): T {
  if (existsSync(at(name))) return JSON.parse(readFileSync(at(name), 'utf8')) as T
  const startedMs = performance.now()
  const made = compute()
  writeFileSync(at(`${name}.part`), JSON.stringify(made))
  renameSync(at(`${name}.part`), at(name))
  note(`${name}: ${((performance.now() - startedMs) / 1000).toFixed(1)} s`)
  return made
}

function tokens(name: string, tokenizer: Tokenizer, compute: () => Sequence[]): void {
  if (existsSync(at(`${name}.tokens`))) return
  const sequences = compute()
  writeTokenFile(at(`${name}.tokens`), { kind: 'samples', vocabularySize: tokenizer.size, sequences })
  note(`${name}: ${sequences.length} sequences, ${length(sequences)} tokens`)
}

/**
 * @param validated whether the trainer looks at the held-out text on its way, and so gives back what was best there; of what is asked in
 * the later stages that text says little
 */
async function train(name: string, job: Omit<TrainerJobInput, 'tokens' | 'output'>, validated = false): Promise<void> {
  if (existsSync(at(`${name}.gguf`))) return
  const validation = validated ? { validation: at('validation.tokens') } : {}
  const files = { tokens: at(`${name}.tokens`), ...validation, output: at(`${name}.gguf`) }
  await runTrainer({ ...job, ...machine, ...files }, at(`${name}.jsonl`), note)
}

/** What the trainer said, with the loss on the held-out text at the end where it did not look there itself. */
async function curveOf(name: string, title: string): Promise<Curve> {
  const curve = readCurve(title, at(`${name}.jsonl`))
  const last = curve.training.at(-1)?.[0] ?? 0
  const loss = await lossOn(at(`${name}.gguf`), at('validation.tokens'))
  return { ...curve, validation: [...curve.validation.filter(([step]) => step < last), [last, loss]] }
}

function* weighted(documents: Document[]): Generator<{ text: string; weight: number }> {
  for (const { kind, text } of documents) yield { text, weight: kind === 'vietnamese' ? VIETNAMESE_WEIGHT : 1 }
}

function length(sequences: Sequence[]): number {
  return sequences.reduce((sum, each) => sum + each.tokens.length, 0)
}

function shuffled(sequences: Sequence[]): Sequence[] {
  return Array.from(shuffle(Int32Array.from(sequences.keys()), randomAt(SEED, 99)), index => sequences[index]!)
}
