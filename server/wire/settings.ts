/** All settings of the hub in one schema, where each may come from, and which source wins. */
import * as z from 'zod'

/** The schema's values are true inside the program; defaults fill what no source says. */
export const Settings = z.strictObject({
  port: z.int().min(0).max(65_535).default(8000).describe('TCP port of the HTTP API; 0 takes any free one.'),
  host: z
    .string()
    .min(1)
    .max(255)
    .default('127.0.0.1')
    .describe('Address that the hub listens on. Without API keys only a loopback address is accepted.'),
  requireApiKey: z
    .enum(['auto', 'always'])
    .default('auto')
    .describe('When requests need an API key: auto = once the hub listens beyond loopback, always = on loopback too.'),
  home: z
    .string()
    .default('')
    .describe(
      "Folder with the models, the database and the logs; empty = the project folder when run from a clone, else the user's data folder.",
    ),
  device: z
    .enum(['auto', 'cpu', 'vulkan', 'cuda', 'metal'])
    .default('auto')
    .describe('Where models run; auto takes the best device that really works.'),
  gpuLayers: z
    .union([z.literal('auto'), z.int().min(-1).max(10_000)], { error: "give 'auto', -1 or a number of layers" })
    .default('auto')
    .describe('Layers of a model on the GPU; auto = as many as fit the free memory, -1 = all.'),
  contextTokens: z
    .int()
    .min(64)
    .max(16_777_216)
    .default(8192)
    .describe('Tokens of context of a model, shared by its slots; at most what it was trained for.'),
  slots: z.int().min(1).max(64).default(4).describe('Requests that a model works on at once; further ones wait.'),
  threads: z.int().min(0).max(1024).default(0).describe('CPU threads of a model; 0 = physical cores minus one.'),
  batchTokens: z
    .int()
    .min(1)
    .max(65_536)
    .default(512)
    .describe('Most tokens of one decode step; a long prompt is evaluated in chunks of this size.'),
  memoryFraction: z
    .number()
    .min(0.1)
    .max(1)
    .default(0.85)
    .describe('Part of the free memory that models may fill before the least recently used idle one is unloaded.'),
  promptCacheMiB: z
    .int()
    .min(0)
    .max(1_048_576)
    .default(512)
    .describe('Memory per model, in MiB, that keeps the evaluated prompts of idle conversations; 0 = none.'),
  kvType: z.enum(['f32', 'f16', 'q8_0']).default('f16').describe('Number type of the KV cache.'),
  flashAttention: z.enum(['auto', 'on', 'off']).default('auto').describe('Whether attention is computed fused.'),
  useMmap: z.boolean().default(true).describe('Map model files into memory instead of reading them.'),
  poll: z
    .int()
    .min(0)
    .max(100)
    .default(50)
    .describe('How busily idle CPU threads of a running model wait, from 0 (sleep at once) to 100.'),
  maxQueue: z
    .int()
    .min(1)
    .max(100_000)
    .default(256)
    .describe('Requests that may wait for one model; a further one is answered 429.'),
  idleUnloadMinutes: z
    .number()
    .min(0)
    .max(525_600)
    .default(0)
    .describe('Minutes without a request after which a model is unloaded; 0 = never.'),
  idleExitMinutes: z
    .number()
    .min(0)
    .max(525_600)
    .default(0)
    .describe('Minutes without use after which the hub ends by itself; 0 = never. Editors that start it set 30.'),
  maxUploadMiB: z.int().min(1).max(1_048_576).default(8192).describe('Largest file that POST /v1/files takes, in MiB.'),
  allowedOrigins: z
    .array(
      z.string().regex(/^https?:\/\/[^/\s?#@*]+$/, 'an origin looks like http://localhost:3000, with no path'),
      'give a list of origins',
    )
    .max(100)
    .default([])
    .describe('Origins of web pages on other ports or sites that may call the hub.'),
  logLevel: z.enum(['debug', 'info', 'warn', 'error']).default('info').describe('Least level of what is logged.'),
})
export type Settings = z.infer<typeof Settings>
export type SettingName = keyof Settings

/** When a changed value counts: at once, for models loaded from then on, after a restart, or never through the API. */
export type Applies = 'now' | 'next_load' | 'restart' | 'start_only'

export const APPLIES: { readonly [K in SettingName]: Applies } = {
  port: 'restart',
  // Through the API a page or program could open the hub to the network, or point it at other files, at its next start.
  host: 'start_only',
  requireApiKey: 'now',
  home: 'start_only',
  device: 'next_load',
  gpuLayers: 'next_load',
  contextTokens: 'next_load',
  slots: 'next_load',
  threads: 'next_load',
  batchTokens: 'next_load',
  memoryFraction: 'now',
  promptCacheMiB: 'next_load',
  kvType: 'next_load',
  flashAttention: 'next_load',
  useMmap: 'next_load',
  poll: 'next_load',
  maxQueue: 'now',
  idleUnloadMinutes: 'now',
  idleExitMinutes: 'now',
  maxUploadMiB: 'now',
  allowedOrigins: 'now',
  logLevel: 'now',
}

export const SETTING_NAMES = Object.keys(APPLIES) as SettingName[]

/** Name of the schema's own description, for help texts and settings pages. */
export function describeSetting(name: SettingName): string {
  return Settings.shape[name].description ?? ''
}

/** Strongest first. `default` is the schema. */
export const SOURCES = ['command_line', 'environment', 'stored', 'file', 'default'] as const
export const Source = z.enum(SOURCES)
export type Source = z.infer<typeof Source>

/** What each source says, by setting; the command line and the environment give text. */
export type Sources = {
  commandLine?: { [name: string]: string }
  /** The whole environment; AI_HUB_CONTEXT_TOKENS is contextTokens. */
  environment?: { [name: string]: string | undefined }
  /** Settings that were changed while the hub ran. */
  stored?: { [name: string]: unknown }
  /** Content of settings.json in home. */
  file?: { [name: string]: unknown }
}

/** Settings with the source of each; `problems` are sentences that name source, key and fix, and what they name was left out. */
export type Resolved = { settings: Settings; from: { [K in SettingName]: Source }; problems: string[] }

/** `contextTokens` as `AI_HUB_CONTEXT_TOKENS`, `promptCacheMiB` as `AI_HUB_PROMPT_CACHE_MIB`. */
export function environmentName(name: string): string {
  const words = name.replace(/([KMG]i)B/g, '$1b').replace(/[A-Z]/g, letter => `_${letter}`)
  return `AI_HUB_${words.toUpperCase()}`
}

/** Merges the sources. Never throws: the caller decides whether a problem ends the start. */
export function resolveSettings(sources: Sources): Resolved {
  const values: { [name: string]: unknown } = {}
  const from: { [name: string]: Source } = {}
  const problems: string[] = []
  const offer = (source: Source, where: string, name: string, value: unknown): void => {
    const known = SETTING_NAMES.find(setting => setting === name)
    if (known === undefined) {
      problems.push(`${where} names the unknown setting '${name}'${nearest(name)}.`)
      return
    }
    if (known === 'home' && (source === 'stored' || source === 'file')) {
      problems.push(`${where} sets 'home', but lies in it; use --home or AI_HUB_HOME.`)
      return
    }
    const result = Settings.shape[known].safeParse(value)
    if (!result.success) {
      problems.push(`${where} gives '${name}' a wrong value (${tell(value)}): ${tellIssue(result.error)}.`)
      return
    }
    if (known in values) return
    values[known] = result.data
    from[known] = source
  }

  for (const [name, text] of Object.entries(sources.commandLine ?? {})) {
    offer('command_line', 'The command line', name, readText(name, text))
  }
  // Names of the environment have no case on Windows.
  const environment = new Map(
    Object.entries(sources.environment ?? {}).map(([name, text]) => [name.toUpperCase(), text]),
  )
  for (const name of SETTING_NAMES) {
    const text = environment.get(environmentName(name))
    if (text !== undefined && text !== '') {
      offer('environment', `The environment variable ${environmentName(name)}`, name, readText(name, text))
    }
  }
  for (const [name, value] of Object.entries(sources.stored ?? {})) {
    offer('stored', 'The database', name, value)
  }
  for (const [name, value] of Object.entries(sources.file ?? {})) offer('file', 'settings.json', name, value)

  const settings = Settings.parse(values)
  const origin = Object.fromEntries(SETTING_NAMES.map(name => [name, from[name] ?? 'default']))
  return { settings, from: origin as Resolved['from'], problems }
}

/** Text of the command line or the environment as the value that the setting wants; what cannot be read stays text. */
function readText(name: string, text: string): unknown {
  const setting = SETTING_NAMES.find(known => known === name)
  if (setting === undefined) return text
  if (setting === 'allowedOrigins') {
    return text
      .split(',')
      .map(part => part.trim())
      .filter(part => part !== '')
  }
  if (Settings.shape[setting].safeParse(text).success) return text
  const word = text.trim().toLowerCase()
  if (/^-?\d+(\.\d+)?$/.test(word)) return Number(word)
  if (['true', 'on', 'yes'].includes(word)) return true
  if (['false', 'off', 'no'].includes(word)) return false
  return text
}

/** The schema's complaint in a few words. */
function tellIssue(error: z.ZodError): string {
  const issue = error.issues[0]
  if (issue === undefined) return 'it is not valid'
  return issue.path.length === 0 ? issue.message : `${issue.path.join('.')}: ${issue.message}`
}

function tell(value: unknown): string {
  return (JSON.stringify(value) ?? String(value)).slice(0, 80)
}

/** Hints at a setting that is written almost so. */
function nearest(name: string): string {
  const flat = (text: string) => text.toLowerCase().replace(/[^a-z0-9]/g, '')
  const same = SETTING_NAMES.find(known => flat(known) === flat(name))
  if (same !== undefined) return `; it is written '${same}'`
  const near = SETTING_NAMES.find(known => flat(known).startsWith(flat(name).slice(0, 4)) && flat(name).length >= 3)
  return near === undefined ? `; there are ${SETTING_NAMES.join(', ')}` : `; did you mean '${near}'?`
}

/** A field of the body of PATCH /v1/settings: the setting's own check without its default, or null to forget the change. */
const change = <T extends z.ZodType>(schema: z.ZodDefault<T>) => schema.unwrap().nullable().optional()
const fixed = (name: string) =>
  z
    .never(
      `'${name}' cannot be changed through the API; use the command line, ${environmentName(name)} or settings.json.`,
    )
    .optional()

export const SettingsPatch = z.strictObject({
  port: change(Settings.shape.port),
  host: fixed('host'),
  requireApiKey: change(Settings.shape.requireApiKey),
  home: z.never("'home' cannot be changed through the API; use --home or AI_HUB_HOME.").optional(),
  device: change(Settings.shape.device),
  gpuLayers: change(Settings.shape.gpuLayers),
  contextTokens: change(Settings.shape.contextTokens),
  slots: change(Settings.shape.slots),
  threads: change(Settings.shape.threads),
  batchTokens: change(Settings.shape.batchTokens),
  memoryFraction: change(Settings.shape.memoryFraction),
  promptCacheMiB: change(Settings.shape.promptCacheMiB),
  kvType: change(Settings.shape.kvType),
  flashAttention: change(Settings.shape.flashAttention),
  useMmap: change(Settings.shape.useMmap),
  poll: change(Settings.shape.poll),
  maxQueue: change(Settings.shape.maxQueue),
  idleUnloadMinutes: change(Settings.shape.idleUnloadMinutes),
  idleExitMinutes: change(Settings.shape.idleExitMinutes),
  maxUploadMiB: change(Settings.shape.maxUploadMiB),
  allowedOrigins: change(Settings.shape.allowedOrigins),
  logLevel: change(Settings.shape.logLevel),
})
export type SettingsPatch = z.infer<typeof SettingsPatch>

/** Answer of GET and PATCH /v1/settings. */
export const SettingsAnswer = z.object({
  object: z.literal('settings'),
  /** What holds once everything has been applied. */
  settings: z.record(z.string(), z.unknown()),
  from: z.record(z.string(), Source).describe('where each value comes from'),
  applies: z
    .record(z.string(), z.enum(['now', 'next_load', 'restart', 'start_only']))
    .describe('when a change counts: at once, for models loaded from then on, after a restart, not through the API'),
  restart_needed: z.array(z.string()).describe('settings whose new value waits for a restart of the hub'),
  overridden: z
    .array(z.string())
    .describe('settings changed here without effect, since the command line or the environment says otherwise'),
})
export type SettingsAnswer = z.infer<typeof SettingsAnswer>
