/** `ai-hub keys`: lists, creates and deletes API keys, through the hub that runs, else in the database of this home. */
import { HubError } from '../lib/error.ts'
import { type ApiKey, ApiKeyCreated, ApiKeyList, type ApiKeyRequest } from '../wire/keys.ts'
import { callHub, type HubAddress } from './api.ts'
import type { KeysAction } from './keys_args.ts'
import { formatTable, paint, type Terminal } from './terminal.ts'

export type KeyRing = {
  list(): Promise<ApiKey[]>
  create(request: ApiKeyRequest): Promise<ApiKeyCreated>
  remove(id: string): Promise<void>
}

export type KeysDeps = {
  findHub(): Promise<HubAddress | undefined>
  /** Keys of the home on which no hub runs. */
  openKeys(): KeyRing & { close(): void }
  terminal: Terminal
  /** What is said beside a new key, so that a pipe carries the key alone. */
  notes: Terminal
  /** Unix milliseconds. */
  now(): number
}

/** Gives the exit code. @throws HubError */
export async function runKeys(deps: KeysDeps, command: KeysAction & { json: boolean }): Promise<number> {
  const hub = await deps.findHub()
  if (hub !== undefined) return act(deps, ringOf(hub), command)
  const ring = deps.openKeys()
  try {
    return await act(deps, ring, command)
  } finally {
    ring.close()
  }
}

/** The keys of a hub that runs: it closes what a deleted one had opened. */
function ringOf(hub: HubAddress): KeyRing {
  return {
    list: async () => ApiKeyList.parse(await callHub(hub, 'GET', '/v1/keys')).data,
    create: async request => ApiKeyCreated.parse(await callHub(hub, 'POST', '/v1/keys', request)),
    async remove(id) {
      await callHub(hub, 'DELETE', `/v1/keys/${encodeURIComponent(id)}`)
    },
  }
}

async function act(deps: KeysDeps, ring: KeyRing, command: KeysAction & { json: boolean }): Promise<number> {
  const { terminal, notes } = deps
  const asJson = (value: unknown): void => terminal.write(`${JSON.stringify(value, undefined, 2)}\n`)
  switch (command.action) {
    case 'list': {
      const keys = await ring.list()
      if (command.json) asJson(keys)
      else list(deps, keys)
      return 0
    }
    case 'create': {
      const key = await ring.create(command.request)
      if (command.json) {
        asJson(key)
        return 0
      }
      notes.write(`The key '${key.name}' (${key.role}) is shown this once; put it where it will be used:\n\n`)
      terminal.write(`${key.value}\n`)
      notes.write(
        '\nOpenAI clients take it as their API key. The hub listens to other machines with: ai-hub serve --host 0.0.0.0\n',
      )
      return 0
    }
    case 'delete': {
      const key = find(await ring.list(), command.key)
      await ring.remove(key.id)
      if (command.json) asJson({ id: key.id, deleted: true })
      else terminal.write(`The key '${key.name}' (${key.redacted_value}) opens nothing from now on.\n`)
      return 0
    }
  }
}

/** By its id, or by a name that only one has. @throws HubError not_found, conflict */
function find(keys: ApiKey[], wanted: string): ApiKey {
  const found = keys.find(key => key.id === wanted)
  if (found !== undefined) return found
  const [named, another] = keys.filter(key => key.name === wanted)
  if (another !== undefined) {
    throw new HubError('conflict', `Several keys are named '${wanted}'; name one by its id: "ai-hub keys" lists them.`)
  }
  if (named === undefined) throw new HubError('not_found', `There is no key '${wanted}'; "ai-hub keys" lists them.`)
  return named
}

function list({ terminal, now }: KeysDeps, keys: ApiKey[]): void {
  if (keys.length === 0) {
    terminal.write('There are no API keys. "ai-hub keys create NAME" makes one.\n')
    return
  }
  const heading = ['id', 'name', 'role', 'key', 'created', 'last used', 'expires']
  const [head, ...lines] = formatTable([heading, ...keys.map(key => cells(key, now()))])
  terminal.write(`${paint(terminal, 'bold', head ?? '')}\n`)
  for (const [index, line] of lines.entries()) {
    const key = keys[index]
    terminal.write(`${key !== undefined && isOver(key, now()) ? paint(terminal, 'red', line) : line}\n`)
    const more = [
      ...(key?.training === true ? ['its chats are kept for training'] : []),
      ...(key?.requests_per_minute == null ? [] : [`${key.requests_per_minute} requests a minute`]),
    ]
    if (more.length > 0) terminal.write(`  ${paint(terminal, 'yellow', `-> ${more.join(', ')}`)}\n`)
  }
}

function cells(key: ApiKey, nowMs: number): string[] {
  const { id, name, role, redacted_value, created_at, last_used_at, expires_at } = key
  const end = expires_at === null ? 'never' : `${isOver(key, nowMs) ? 'over since ' : ''}${tellTime(expires_at)}`
  return [
    id,
    name,
    role,
    redacted_value,
    tellTime(created_at),
    last_used_at === null ? 'never' : tellTime(last_used_at),
    end,
  ]
}

const isOver = ({ expires_at }: ApiKey, nowMs: number): boolean => expires_at !== null && expires_at * 1000 <= nowMs

/** `2026-11-30 10:41`, as the clock of the user says. */
function tellTime(seconds: number): string {
  const date = new Date(seconds * 1000)
  const two = (part: number): string => String(part).padStart(2, '0')
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ${two(date.getHours())}:${two(date.getMinutes())}`
}
