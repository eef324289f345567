/** The command line `ai-hub COMMAND [options]`: text in, one of a few commands out, or a message that says what was meant. */
import { parseArgs } from 'node:util'
import { describeSetting, SETTING_NAMES, Settings } from '../wire/settings.ts'

export type Command =
  /** `settings`: values as written, by the setting's name; the settings' own schema judges them. */
  | { name: 'serve'; home?: string; settings: { [setting: string]: string } }
  | { name: 'models'; home?: string; json: boolean }
  | { name: 'chat'; home?: string; model?: string; system?: string /** one question, then exit */; question?: string }
  | { name: 'doctor'; home?: string; json: boolean }
  | { name: 'help'; topic?: string }
  | { name: 'version' }

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
}

const HOME: Option = {
  type: 'string',
  value: 'DIR',
  description: 'folder with the models, the database and the logs (else AI_HUB_HOME, else the default)',
}
const HELP: Option = { type: 'boolean', short: 'h', description: 'show this help' }
const JSON_OUTPUT: Option = { type: 'boolean', description: 'print JSON instead of text' }

const COMMANDS: { [name: string]: CommandSpec } = {
  serve: { summary: 'start the hub and keep it running until Ctrl+C', options: { home: HOME } },
  models: { summary: 'list the models of this home', options: { home: HOME, json: JSON_OUTPUT } },
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
  doctor: {
    summary: 'look at everything the hub needs and say what to do about what is missing',
    options: { home: HOME, json: JSON_OUTPUT },
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
  const limit = spec.positional === undefined ? 0 : 1
  const stray = positionals[limit]
  if (stray !== undefined) {
    const hint = first === 'chat' ? ' Put the question in quotes.' : ` See "ai-hub help ${first}".`
    throw new UsageError(`"${stray}" is one argument too many for "ai-hub ${first}".${hint}`)
  }
  if (values.help === true) return { name: 'help', topic: first }
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
    case 'models':
    case 'doctor':
      return { name, ...common, json: values.json === true }
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
