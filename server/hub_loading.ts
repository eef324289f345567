/** How models are loaded here: by the settings file, and by what loading and running them took before. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { HubError } from './lib/error.ts'
import type { ModelStatus, Speeds } from './models/models.ts'
import type { LoadSettings } from './models/scheduler.ts'
import type { Database } from './storage/database.ts'
import { latestProfile, type ProfileKey, type readProfile } from './storage/profiles.ts'
import type { ModelFile } from './wire/model.ts'
import type { Settings } from './wire/settings.ts'
import type { ModelStatusOut } from './wire/system.ts'
import type { LoadOptions } from './wire/worker.ts'

export function readSettingsFile(home: string): { file?: { [name: string]: unknown } } {
  const path = join(home, 'settings.json')
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch {
    return {}
  }
  try {
    const value: unknown = JSON.parse(text.replace(/^\uFEFF/, ''))
    if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new Error('it must hold an object')
    return { file: value as { [name: string]: unknown } }
  } catch (cause) {
    throw new HubError(
      'invalid_request',
      `${path} cannot be read: ${cause instanceof Error ? cause.message : cause}. Mend or remove it.`,
      { cause },
    )
  }
}

export function loadSettings(settings: Settings, cores: number): LoadSettings {
  return {
    ...settings,
    // One core stays for the hub, the worker's own thread and the user's other programs.
    threads: settings.threads > 0 ? settings.threads : Math.max(1, cores - 1),
    promptCacheBytes: settings.promptCacheMiB * 2 ** 20,
  }
}

export function profileKey(file: ModelFile, load: LoadOptions): ProfileKey {
  return {
    model: file.id,
    bytes: file.bytes,
    modifiedMs: Math.round(file.modified_ms),
    device: load.library,
    contextTokens: load.contextTokens,
  }
}

export function measuredBytes(profile: ReturnType<typeof readProfile>, load: LoadOptions): number | undefined {
  return load.device === 'cpu' ? profile?.residentBytes : profile?.deviceBytes
}

export function rates(speeds: Speeds): { promptPerSecond?: number; generationPerSecond?: number } {
  return {
    ...(speeds.promptMs > 0 && { promptPerSecond: (speeds.promptTokens * 1000) / speeds.promptMs }),
    ...(speeds.predictedMs > 0 && { generationPerSecond: (speeds.predictedTokens * 1000) / speeds.predictedMs }),
  }
}

/** What loading and running a model took here: as long as it is loaded, as it is now, else as it was the last time. */
export function measuredOf(db: Database, { file, info, speeds }: ModelStatus): ModelStatusOut['measured'] {
  if (file.parent !== undefined) return undefined
  const { id: model, bytes, modified_ms } = file
  const before = latestProfile(db, { model, bytes, modifiedMs: Math.round(modified_ms) })
  const now = speeds === undefined ? {} : rates(speeds)
  const loadMs = info?.loadMs ?? before?.loadMs
  const promptPerSecond = now.promptPerSecond ?? before?.promptPerSecond
  const generationPerSecond = now.generationPerSecond ?? before?.generationPerSecond
  if (loadMs === undefined) return undefined
  return {
    load_ms: loadMs,
    ...(promptPerSecond !== undefined && { prompt_per_second: promptPerSecond }),
    ...(generationPerSecond !== undefined && { generation_per_second: generationPerSecond }),
  }
}
