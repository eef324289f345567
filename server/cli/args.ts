/** The command line `ai-hub COMMAND [options]`: text in, one of a few commands out, or a message that says what was meant. */
import { parseArgs } from 'node:util'
import { ModelFolder } from '../wire/model.ts'
import { describeSetting, SETTING_NAMES, Settings } from '../wire/settings.ts'
import { ADAPTERS_OPTIONS, ADAPTERS_USAGE, type AdaptersAction, parseAdapters } from './adapters_args.ts'
import type { CudaOptions } from './cuda.ts'
import type { EvaluateOptions } from './evaluate.ts'
import { EVALUATE_OPTIONS, EVALUATE_USAGE, parseEvaluate } from './evaluate_args.ts'
import type { JobsAction } from './jobs.ts'
import { KEYS_OPTIONS, KEYS_USAGE, type KeysAction, parseKeys } from './keys_args.ts'
import type { PullOptions } from './pull.ts'
import type { TrainOptions } from './train.ts'

export type Command =
  /** `settings`: values as written, by the setting's name; the settings' own schema judges them. */
  | { name: 'serve'; home?: string; settings: { [setting: string]: string } }
  | { name: 'models'; home?: string; json: boolean }
  | { name: 'chat'; home?: string; model?: string; system?: string /** one question, then exit */; question?: string }
  | { name: 'pull'; home?: string; options: PullOptions }
  | { name: 'train'; home?: string; options: TrainOptions }
  | { name: 'evaluate'; home?: string; options: EvaluateOptions }
  | ({ name: 'jobs'; home?: string; json: boolean } & JobsAction)
  | ({ name: 'keys'; home?: string; json: boolean } & KeysAction)
  | { name: 'doctor'; home?: string; json: boolean }
  | { name: 'cuda'; home?: string; options: CudaOptions }
  | ({ name: 'datasets'; home?: string; json: boolean } & DatasetsAction)
  | { name: 'lsp'; home?: string }
  | ({ name: 'adapters'; home?: string; json: boolean } & AdaptersAction)
  | { name: 'help'; topic?: string }
  | { name: 'version' }

export type DatasetsAction =
  | { action: 'list' }
  | { action: 'show'; dataset: string; version?: number; samples: number }
  | { action: 'check'; paths: string[]; format?: string; model?: string }
  | { action: 'preview'; dataset: string; model: string; version?: number; part?: string; sample: number }
  | {
      action: 'import'
      dataset: string
      paths: string[]
      format?: string
      append: boolean
      refuse: boolean
      git: boolean
      model?: string
    }

/** A setting that `serve` takes on the command line: `contextTokens` as `--context-tokens N`. */
export type SettingOption = { name: string; description: string }

const DEFAULTS = Settings.parse({})
/** Every setting of the hub but home, which each command has as an option of its own. */
export const SETTING_OPTIONS: readonly SettingOption[] = SETTING_NAMES.filter(name => name !== 'home').map(name => ({
  name,
  description: `${describeSetting(name)} [${DEFAULTS[name]}]`,
}))

/** Something is wrong with what the user typed: its message goes to stderr and the exit code is 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}

type Option = { type: 'string' | 'boolean'; short?: string; value?: string; description: string }
type CommandSpec = {
  summary: string
  options: { [name: string]: Option }
  /** Name of the one positional argument, where the command takes one. */
  positional?: string
  /** It takes any number of them. */
  isMany?: true
}

const HOME: Option = {
  type: 'string',
  value: 'DIR',
  description: 'folder with the models, the database and the logs (else AI_HUB_HOME, else the default)',
}
const HELP: Option = { type: 'boolean', short: 'h', description: 'show this help' }
const JSON_OUTPUT: Option = { type: 'boolean', description: 'print JSON instead of text' }

/** Hyperparameters of `train`: the option, and what stands in its help. */
const TRAIN_CONFIG: { [name: string]: string } = {
  epochs: 'times the data is gone through',
  batch_size: 'samples of one step',
  learning_rate: 'such as 2e-4',
  rank: 'of the adapter',
  alpha: 'of the adapter, which is scaled by alpha / rank',
  max_length: 'longest sample in tokens',
  max_steps: 'most steps',
  seed: 'the same seed gives the same run',
}
const option = (value: string, description: string): Option => ({ type: 'string', value, description })

const COMMANDS: { [name: string]: CommandSpec } = {
  serve: { summary: 'start the hub and keep it running until Ctrl+C', options: { home: HOME } },
  models: { summary: 'list the models of this home', options: { home: HOME, json: JSON_OUTPUT } },
  pull: {
    summary: 'get a model over the network; without a name, show which ones suit this machine',
    positional: 'NAME | OWNER/REPO[:QUANT] | https://...gguf',
    options: {
      home: HOME,
      quant: option('QUANT', 'such as Q4_K_M (else the best that fits the memory)'),
      folder: option('FOLDER', `${ModelFolder.options.join(', ')} (else what the name and the file say)`),
      'dry-run': { type: 'boolean', description: 'only say what would be fetched and whether it fits' },
      json: JSON_OUTPUT,
    },
  },
  chat: {
    summary: 'chat with a model in the terminal; with piped input, answer it and exit',
    positional: 'QUESTION',
    options: {
      home: HOME,
      model: {
        type: 'string',
        short: 'm',
        value: 'ID',
        description: 'model id (else the one that is loaded, else the first)',
      },
      system: { type: 'string', short: 's', value: 'TEXT', description: 'system message' },
    },
  },
  train: {
    summary: 'train an adapter for a model on your own data, after showing the plan',
    options: {
      home: HOME,
      model: { type: 'string', short: 'm', value: 'ID', description: 'the base model, or an adapter to go on from' },
      data: { type: 'string', short: 'd', value: 'FILE', description: 'a file, a folder inside home, or a dataset' },
      validation: option('FILE', 'a file of its own to validate on (else a part of the data)'),
      name: option('NAME', 'of the adapter, which is then the model ID:NAME'),
      method: option('METHOD', 'supervised, or dpo for pairs of a chosen and a rejected answer [supervised]'),
      ...Object.fromEntries(
        Object.entries(TRAIN_CONFIG).map(([name, text]) => [name.replaceAll('_', '-'), option('N', `${text} [auto]`)]),
      ),
      'too-long': option('WHAT', 'what is done with longer samples: split, truncate or drop [truncate]'),
      'continue-from': option('NAME', 'an adapter of the same base to go on from'),
      replay: option('SHARE', 'share of what it learned before that is learned again'),
      replace: { type: 'boolean', description: 'keep an adapter of that name as an older version' },
      search: { type: 'boolean', description: 'first look for the learning rate and the rank by short trials' },
      evaluate: { type: 'boolean', description: 'compare the adapter with its base on the test part afterwards' },
      'dry-run': { type: 'boolean', description: 'only show the plan' },
      yes: { type: 'boolean', short: 'y', description: 'do not ask before it begins' },
      json: JSON_OUTPUT,
    },
  },
  evaluate: {
    summary: 'compare an adapter with its base, or any two models, on the test part of a dataset',
    positional: EVALUATE_USAGE,
    isMany: true,
    options: { home: HOME, json: JSON_OUTPUT, ...EVALUATE_OPTIONS },
  },
  jobs: {
    summary: 'list the training jobs, and pause, resume or cancel one',
    positional: 'pause ID | resume ID | cancel ID',
    isMany: true,
    options: { home: HOME, json: JSON_OUTPUT },
  },
  keys: {
    summary: 'list, create and delete the API keys with which other machines use the hub',
    positional: KEYS_USAGE,
    isMany: true,
    options: { home: HOME, json: JSON_OUTPUT, ...KEYS_OPTIONS },
  },
  doctor: {
    summary: 'look at everything the hub needs and say what to do about what is missing',
    options: { home: HOME, json: JSON_OUTPUT },
  },
  cuda: {
    summary: 'fetch the CUDA libraries, which a package does not carry; shows size and licence first',
    options: {
      home: HOME,
      runtime: option('12|13', 'the CUDA runtime they are for [the one that is there]'),
      registry: option('URL', 'registry of npm packages they come from [that of npm]'),
      yes: { type: 'boolean', short: 'y', description: 'do not ask before it begins' },
      json: JSON_OUTPUT,
    },
  },
  datasets: {
    summary: 'check data for training, import it, and look at what was imported',
    positional: 'check FILE... | import NAME FILE... | list | show NAME | preview NAME',
    isMany: true,
    options: {
      home: HOME,
      json: JSON_OUTPUT,
      format: { type: 'string', value: 'FORMAT', description: 'refuse records of another format (else found out)' },
      append: { type: 'boolean', description: 'import: keep the samples of the last version' },
      refuse: { type: 'boolean', description: 'import: refuse a file with malformed lines instead of skipping them' },
      git: { type: 'boolean', description: 'import: read the git history of the folders instead of their files' },
      model: {
        type: 'string',
        short: 'm',
        value: 'ID',
        description: 'check, import: count tokens and find unusual samples with this base; preview: its template',
      },
      version: { type: 'string', value: 'N', description: 'show, preview: another version than the newest' },
      part: { type: 'string', value: 'PART', description: 'preview: train, validation or test [train]' },
      sample: { type: 'string', value: 'N', description: 'preview: which sample, from 1 [1]' },
      samples: { type: 'string', value: 'N', description: 'show: how many samples are printed [3]' },
    },
  },
  lsp: {
    summary: 'language server over standard input and output, for editors; finds the hub or starts it',
    options: { home: HOME, stdio: { type: 'boolean', description: 'the only way there is, named by many editors' } },
  },
  adapters: {
    summary: 'list the adapters, merge, export and import them',
    positional: ADAPTERS_USAGE,
    isMany: true,
    options: { home: HOME, json: JSON_OUTPUT, ...ADAPTERS_OPTIONS },
  },
  help: { summary: 'show the help of a command', positional: 'COMMAND', options: {} },
  version: { summary: 'print the version', options: {} },
}

/**
 * @param args what follows the program's name
 * @throws UsageError for an unknown command or option (with the nearest name), a missing value, a stray argument
 */
export function parseCommandLine(
  args: readonly string[],
  settings: readonly SettingOption[] = SETTING_OPTIONS,
): Command {
  const [first, ...rest] = args
  if (first === undefined || first === '--help' || first === '-h') return { name: 'help' }
  if (first === '--version' || first === '-v') return { name: 'version' }
  if (first.startsWith('-')) {
    throw new UsageError(`An option comes after its command: ai-hub COMMAND ${first}. Commands: ${names()}.`)
  }
  const spec = Object.hasOwn(COMMANDS, first) ? COMMANDS[first] : undefined
  if (spec === undefined) {
    throw new UsageError(
      `There is no command "${first}".${suggest(first, Object.keys(COMMANDS))} Commands: ${names()}.`,
    )
  }
  const { values, positionals } = parseOptions(first, { ...optionsOf(first, settings), help: HELP }, rest)
  const limit = spec.isMany === true ? Number.POSITIVE_INFINITY : spec.positional === undefined ? 0 : 1
  const stray = positionals[limit]
  if (stray !== undefined) {
    const hint = first === 'chat' ? ' Put the question in quotes.' : ` See "ai-hub help ${first}".`
    throw new UsageError(`"${stray}" is one argument too many for "ai-hub ${first}".${hint}`)
  }
  if (values.help === true) return { name: 'help', topic: first }
  if (first === 'datasets') return buildDatasets(values, positionals)
  if (first === 'adapters') {
    const action = parseAdapters(values, positionals, message => {
      throw new UsageError(message)
    })
    const home = typeof values.home === 'string' ? { home: values.home } : {}
    return { name: 'adapters', ...home, json: values.json === true, ...action }
  }
  if (first === 'jobs') return buildJobs(values, positionals)
  if (first === 'keys') {
    const action = parseKeys(values, positionals, {
      fail(message) {
        throw new UsageError(message)
      },
      now: Date.now,
    })
    const home = typeof values.home === 'string' ? { home: values.home } : {}
    return { name: 'keys', ...home, json: values.json === true, ...action }
  }
  if (first === 'train') return buildTrain(values)
  if (first === 'evaluate') {
    const options = parseEvaluate(values, positionals, message => {
      throw new UsageError(message)
    })
    return { name: 'evaluate', ...(typeof values.home === 'string' && { home: values.home }), options }
  }
  return build(first, values, positionals[0], settings)
}

/** The general help, or that of one command, or of an unknown topic: UsageError. */
export function helpText(
  version: string,
  topic?: string,
  settings: readonly SettingOption[] = SETTING_OPTIONS,
): string {
  if (topic === undefined) {
    const rows = Object.entries(COMMANDS).map(([name, spec]) => `  ${name.padEnd(9)}${spec.summary}`)
    return [
      `ai-hub ${version}: one local server for GGUF models, with an OpenAI-compatible API`,
      '',
      'usage: ai-hub COMMAND [options]',
      '',
      ...rows,
      '',
      'ai-hub help COMMAND shows the options of a command.',
      '',
    ].join('\n')
  }
  const spec = Object.hasOwn(COMMANDS, topic) ? COMMANDS[topic] : undefined
  if (spec === undefined) {
    throw new UsageError(
      `There is no command "${topic}".${suggest(topic, Object.keys(COMMANDS))} Commands: ${names()}.`,
    )
  }
  const options = Object.entries({ ...optionsOf(topic, settings), help: HELP })
  const left = ([name, option]: [string, Option]): string =>
    `  ${option.short === undefined ? '    ' : `-${option.short}, `}--${name}${option.value === undefined ? '' : ` ${option.value}`}`
  const width = Math.max(...options.map(option => left(option).length)) + 2
  const usage = `usage: ai-hub ${topic} [options]${spec.positional === undefined ? '' : ` [${spec.positional}]`}`
  return [
    `ai-hub ${topic}: ${spec.summary}`,
    '',
    usage,
    '',
    ...options.map(option => `${left(option).padEnd(width)}${option[1].description}`),
    '',
  ].join('\n')
}

/** `contextTokens` -> `context-tokens`, `promptCacheMiB` -> `prompt-cache-mib` */
export function optionName(setting: string): string {
  return setting.replace(/([KMG]i)B/g, '$1b').replace(/[A-Z]/g, letter => `-${letter.toLowerCase()}`)
}

/** The name nearest to a mistyped one, if any is near: at most half of its letters differ. */
export function nearest(typed: string, known: readonly string[]): string | undefined {
  let best: string | undefined
  let least = Math.max(1, Math.floor(typed.length / 2)) + 1
  for (const name of known) {
    const distance = name.startsWith(typed) && typed.length > 2 ? 1 : editDistance(typed, name)
    if (distance < least) {
      least = distance
      best = name
    }
  }
  return best
}

function optionsOf(command: string, settings: readonly SettingOption[]): { [name: string]: Option } {
  const options: { [name: string]: Option } = { ...COMMANDS[command]?.options }
  if (command === 'serve') {
    for (const { name, description } of settings) {
      if (name !== 'home') options[optionName(name)] = { type: 'string', value: 'VALUE', description }
    }
  }
  return options
}

type Values = { [name: string]: string | boolean | undefined }

function parseOptions(
  command: string,
  options: { [name: string]: Option },
  args: readonly string[],
): { values: Values; positionals: string[] } {
  // Not strict: node's own messages would not name the nearest option; what strict checks is checked below.
  const { tokens } = parseArgs({
    args: [...args],
    options: Object.fromEntries(
      Object.entries(options).map(([name, { type, short }]) => [name, { type, ...(short !== undefined && { short }) }]),
    ),
    strict: false,
    allowPositionals: true,
    tokens: true,
  })
  const values: Values = {}
  const positionals: string[] = []
  for (const token of tokens) {
    if (token.kind === 'positional') positionals.push(token.value)
    if (token.kind !== 'option') continue
    const option = Object.hasOwn(options, token.name) ? options[token.name] : undefined
    if (option === undefined) {
      throw new UsageError(
        `"ai-hub ${command}" has no option "${token.rawName}".${suggest(
          token.name,
          Object.keys(options).filter(name => name !== 'help'),
          '--',
        )} See "ai-hub help ${command}".`,
      )
    }
    // `--port --host x` would otherwise take `--host` as the port.
    if (
      option.type === 'string' &&
      (token.value === undefined || (!token.inlineValue && /^--?[a-z]/.test(token.value)))
    ) {
      throw new UsageError(`The option ${token.rawName} needs a value: ${token.rawName} ${option.value ?? 'VALUE'}.`)
    }
    if (option.type === 'boolean' && token.value !== undefined) {
      throw new UsageError(`The option ${token.rawName} takes no value.`)
    }
    if (values[token.name] !== undefined && option.type === 'string') {
      throw new UsageError(`The option --${token.name} is given twice.`)
    }
    values[token.name] = token.value ?? true
  }
  return { values, positionals }
}

function build(
  name: string,
  values: Values,
  positional: string | undefined,
  settings: readonly SettingOption[],
): Command {
  const text = (key: string): string | undefined => (typeof values[key] === 'string' ? values[key] : undefined)
  const home = text('home')
  const common = home === undefined ? {} : { home }
  switch (name) {
    case 'serve': {
      const given: { [setting: string]: string } = {}
      for (const setting of settings) {
        const value = text(optionName(setting.name))
        if (value !== undefined && setting.name !== 'home') given[setting.name] = value
      }
      return { name, ...common, settings: given }
    }
    case 'lsp':
      return { name, ...common }
    case 'models':
    case 'doctor':
      return { name, ...common, json: values.json === true }
    case 'cuda': {
      const runtime = text('runtime')
      const registry = text('registry')
      if (runtime !== undefined && runtime !== '12' && runtime !== '13') {
        throw new UsageError(`--runtime is 12 or 13, not "${runtime}".`)
      }
      if (registry !== undefined && !/^https?:\/\/[^/]/.test(registry)) {
        throw new UsageError(`--registry takes an address such as https://HOST/, not "${registry}".`)
      }
      const options: CudaOptions = {
        ...(runtime !== undefined && { runtime: runtime === '12' ? 12 : 13 }),
        ...(registry !== undefined && { registry }),
        yes: values.yes === true,
        json: values.json === true,
      }
      return { name, ...common, options }
    }
    case 'pull': {
      const quant = text('quant')
      const typed = text('folder')
      const folder = ModelFolder.options.find(each => each === typed || each === `${typed}_models`)
      if (typed !== undefined && folder === undefined) {
        throw new UsageError(`There is no folder "${typed}". Choose: ${ModelFolder.options.join(', ')}.`)
      }
      if (positional === undefined && (quant ?? folder) !== undefined) {
        throw new UsageError(
          'Name the model: ai-hub pull NAME. "ai-hub pull" alone shows which ones suit this machine.',
        )
      }
      const options: PullOptions = {
        ...(positional !== undefined && { model: positional }),
        ...(quant !== undefined && { quant }),
        ...(folder !== undefined && { folder }),
        dryRun: values['dry-run'] === true,
        json: values.json === true,
      }
      return { name, ...common, options }
    }
    case 'chat': {
      const model = text('model')
      const system = text('system')
      return {
        name,
        ...common,
        ...(model !== undefined && { model }),
        ...(system !== undefined && { system }),
        ...(positional !== undefined && { question: positional }),
      }
    }
    case 'version':
      return { name }
    default:
      return { name: 'help', ...(positional !== undefined && { topic: positional }) }
  }
}

const ACTIONS = ['check', 'import', 'list', 'show', 'preview']
/** Options that only some of the actions know. */
const ACTION_OPTIONS: { [option: string]: string[] } = {
  format: ['check', 'import'],
  append: ['import'],
  refuse: ['import'],
  git: ['import'],
  model: ['check', 'import', 'preview'],
  version: ['show', 'preview'],
  part: ['preview'],
  sample: ['preview'],
  samples: ['show'],
}

function buildDatasets(values: Values, [action = '', ...rest]: string[]): Command {
  const usage = 'See "ai-hub help datasets".'
  if (!ACTIONS.includes(action)) {
    const typed =
      action === '' ? 'Say what to do' : `"ai-hub datasets" cannot "${action}".${suggest(action, ACTIONS)} Choose`
    throw new UsageError(`${typed}: ${ACTIONS.join(', ')}. ${usage}`)
  }
  for (const [option, actions] of Object.entries(ACTION_OPTIONS)) {
    if (values[option] !== undefined && !actions.includes(action)) {
      throw new UsageError(`"ai-hub datasets ${action}" has no option "--${option}". ${usage}`)
    }
  }
  const { home, format, model, part } = values
  const common = {
    name: 'datasets' as const,
    ...(typeof home === 'string' && { home }),
    json: values.json === true,
  }
  const reading = { ...(typeof format === 'string' && { format }), ...(typeof model === 'string' && { model }) }
  const whole = (option: string): number | undefined => {
    const value = values[option]
    if (value === undefined) return undefined
    if (typeof value !== 'string' || !/^\d{1,6}$/.test(value)) throw new UsageError(`--${option} takes a whole number.`)
    return Number(value)
  }
  const [dataset, ...paths] = rest
  switch (action) {
    case 'check':
      if (rest.length === 0) throw new UsageError(`Name a file: ai-hub datasets check FILE. ${usage}`)
      return { ...common, ...reading, action, paths: rest }
    case 'import':
      if (dataset === undefined || paths.length === 0) {
        throw new UsageError(`Name the dataset and its files: ai-hub datasets import NAME FILE. ${usage}`)
      }
      return {
        ...common,
        ...reading,
        action,
        dataset,
        paths,
        append: values.append === true,
        refuse: values.refuse === true,
        git: values.git === true,
      }
    case 'preview': {
      if (dataset === undefined || typeof model !== 'string') {
        throw new UsageError(`Name the dataset and the base: ai-hub datasets preview NAME --model ID. ${usage}`)
      }
      if (paths[0] !== undefined) throw new UsageError(`"${paths[0]}" is one argument too many. ${usage}`)
      const version = whole('version')
      return {
        ...common,
        action,
        dataset,
        model,
        ...(version !== undefined && { version }),
        ...(typeof part === 'string' && { part }),
        sample: Math.max(1, whole('sample') ?? 1),
      }
    }
    case 'show': {
      if (dataset === undefined) throw new UsageError(`Name the dataset: ai-hub datasets show NAME. ${usage}`)
      if (paths[0] !== undefined) throw new UsageError(`"${paths[0]}" is one argument too many. ${usage}`)
      const version = whole('version')
      return { ...common, action, dataset, ...(version !== undefined && { version }), samples: whole('samples') ?? 3 }
    }
    default:
      if (dataset !== undefined) throw new UsageError(`"${dataset}" is one argument too many. ${usage}`)
      return { ...common, action: 'list' }
  }
}

function buildTrain(values: Values): Command {
  const text = (key: string): string | undefined => (typeof values[key] === 'string' ? values[key] : undefined)
  const { home } = values
  const [model, data] = [text('model'), text('data')]
  if (model === undefined || data === undefined) {
    throw new UsageError('Name the model and the data: ai-hub train --model ID --data FILE. See "ai-hub help train".')
  }
  const config: { [name: string]: string } = {}
  for (const name of Object.keys(TRAIN_CONFIG)) {
    const value = text(name.replaceAll('_', '-'))
    if (value !== undefined) config[name] = value
  }
  const given = {
    validation: text('validation'),
    name: text('name'),
    method: text('method'),
    tooLong: text('too-long'),
    continueFrom: text('continue-from'),
    replay: text('replay'),
  }
  const options: TrainOptions = {
    model,
    data,
    config,
    ...definedOf(given),
    replace: values.replace === true,
    search: values.search === true,
    evaluate: values.evaluate === true,
    dryRun: values['dry-run'] === true,
    yes: values.yes === true,
    json: values.json === true,
  }
  return { name: 'train', ...(typeof home === 'string' && { home }), options }
}

function definedOf(values: { [name: string]: string | undefined }): { [name: string]: string } {
  return Object.fromEntries(Object.entries(values).filter((entry): entry is [string, string] => entry[1] !== undefined))
}

const JOB_ACTIONS = ['pause', 'resume', 'cancel'] as const

function buildJobs(values: Values, [typed, id, stray]: string[]): Command {
  const { home } = values
  const common = { name: 'jobs' as const, ...(typeof home === 'string' && { home }), json: values.json === true }
  if (typed === undefined || (typed === 'list' && id === undefined)) return { ...common, action: 'list' }
  const action = JOB_ACTIONS.find(each => each === typed)
  if (action === undefined) {
    throw new UsageError(
      `"ai-hub jobs" cannot "${typed}".${suggest(typed, JOB_ACTIONS)} Choose: list, ${JOB_ACTIONS.join(', ')}.`,
    )
  }
  if (id === undefined) throw new UsageError(`Name the job: ai-hub jobs ${action} ID. "ai-hub jobs" lists them.`)
  if (stray !== undefined) throw new UsageError(`"${stray}" is one argument too many. See "ai-hub help jobs".`)
  return { ...common, action, id }
}

const names = (): string => Object.keys(COMMANDS).join(', ')

function suggest(typed: string, known: readonly string[], prefix = ''): string {
  const name = nearest(typed, known)
  return name === undefined ? '' : ` Did you mean "${prefix}${name}"?`
}

/** Levenshtein distance: letters to add, take away or change. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, column) => column)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const change = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1)
      next.push(Math.min((row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1, change))
    }
    row = next
  }
  return row[b.length] ?? 0
}
