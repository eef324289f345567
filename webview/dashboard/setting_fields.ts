/** How each setting is asked for. The hub's schema decides what is right; a test holds the two together. */
import type { Settings } from '../../server/wire/settings.ts'

export type SettingName = keyof Settings

export type Field =
  | { kind: 'choice'; options: readonly string[] }
  | { kind: 'switch' }
  | { kind: 'number'; min: number; max: number; whole: boolean }
  /** A number or this word. */
  | { kind: 'number_or'; word: string; min: number; max: number }
  | { kind: 'text' }
  /** One to a line. */
  | { kind: 'list' }

const whole = (min: number, max: number): Field => ({ kind: 'number', min, max, whole: true })

export const FIELDS: { readonly [name in SettingName]: Field } = {
  port: whole(0, 65_535),
  host: { kind: 'text' },
  requireApiKey: { kind: 'choice', options: ['auto', 'always'] },
  home: { kind: 'text' },
  device: { kind: 'choice', options: ['auto', 'cpu', 'vulkan', 'cuda', 'metal'] },
  gpuLayers: { kind: 'number_or', word: 'auto', min: -1, max: 10_000 },
  contextTokens: whole(64, 16_777_216),
  slots: whole(1, 64),
  threads: whole(0, 1024),
  batchTokens: whole(1, 65_536),
  memoryFraction: { kind: 'number', min: 0.1, max: 1, whole: false },
  promptCacheMiB: whole(0, 1_048_576),
  kvType: { kind: 'choice', options: ['f32', 'f16', 'q8_0'] },
  flashAttention: { kind: 'choice', options: ['auto', 'on', 'off'] },
  useMmap: { kind: 'switch' },
  poll: whole(0, 100),
  maxQueue: whole(1, 100_000),
  idleUnloadMinutes: { kind: 'number', min: 0, max: 525_600, whole: false },
  idleExitMinutes: { kind: 'number', min: 0, max: 525_600, whole: false },
  maxUploadMiB: whole(1, 1_048_576),
  allowedOrigins: { kind: 'list' },
  logLevel: { kind: 'choice', options: ['debug', 'info', 'warn', 'error'] },
}

/** In the order in which a person looks for them. */
export const GROUPS: { readonly [group in 'models' | 'memory' | 'speed' | 'hub']: readonly SettingName[] } = {
  models: ['device', 'gpuLayers', 'contextTokens', 'slots', 'maxQueue'],
  memory: ['memoryFraction', 'idleUnloadMinutes', 'promptCacheMiB', 'kvType', 'useMmap'],
  speed: ['threads', 'batchTokens', 'flashAttention', 'poll'],
  hub: ['port', 'host', 'requireApiKey', 'allowedOrigins', 'home', 'maxUploadMiB', 'idleExitMinutes', 'logLevel'],
}

/** A value as text for its field. */
export function toFieldText(field: Field, value: unknown): string {
  if (field.kind === 'list') return Array.isArray(value) ? value.join('\n') : ''
  return value === undefined || value === null ? '' : String(value)
}

/** What was typed as the value to send; what is no number stays text, so that the hub says what is wrong with it. */
export function fromFieldText(field: Field, text: string): unknown {
  const trimmed = text.trim()
  switch (field.kind) {
    case 'number':
      return isNumber(trimmed) ? Number(trimmed) : trimmed
    case 'number_or':
      return trimmed !== field.word && isNumber(trimmed) ? Number(trimmed) : trimmed
    case 'switch':
      return trimmed === 'true'
    case 'list':
      return text
        .split(/[\n,]/)
        .map(line => line.trim())
        .filter(line => line !== '')
    default:
      return trimmed
  }
}

const isNumber = (text: string): boolean => text !== '' && Number.isFinite(Number(text))
