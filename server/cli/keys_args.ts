/** The command line of `ai-hub keys`: what stands behind the word becomes one of its actions. */
import { ApiKeyRequest, KeyRole } from '../wire/keys.ts'

export type KeysAction =
  | { action: 'list' }
  | { action: 'create'; request: ApiKeyRequest }
  | { action: 'delete'; key: string }

export const KEYS_USAGE = 'list | create NAME | delete ID'

export const KEYS_OPTIONS = {
  role: { type: 'string', value: 'ROLE', description: `create: ${KeyRole.description} [use]` },
  expires: { type: 'string', value: 'WHEN', description: 'create: 30d, 12h, or a date such as 2030-12-31 [never]' },
  'requests-per-minute': {
    type: 'string',
    value: 'N',
    description: 'create: further ones are answered 429 [no limit]',
  },
  training: {
    type: 'boolean',
    description: 'create: keep chats made with it for training, unless they say store: false',
  },
} as const

const ACTIONS = ['list', 'create', 'delete']
const UNIT_MS: { [unit: string]: number } = { h: 3_600_000, d: 86_400_000, w: 7 * 86_400_000 }

type Values = { [name: string]: string | boolean | undefined }

/** @param deps.fail throws what tells the user of a wrong command line; now: Unix milliseconds */
export function parseKeys(
  values: Values,
  positionals: readonly string[],
  deps: { fail: (message: string) => never; now: () => number },
): KeysAction {
  const { fail } = deps
  const [action = 'list', name, stray] = positionals
  const usage = 'See "ai-hub help keys".'
  if (!ACTIONS.includes(action))
    return fail(`"ai-hub keys" cannot "${action}". Choose: ${ACTIONS.join(', ')}. ${usage}`)
  if (action !== 'create') {
    const option = Object.keys(KEYS_OPTIONS).find(each => values[each] !== undefined)
    if (option !== undefined) return fail(`"ai-hub keys ${action}" has no option "--${option}". ${usage}`)
  }
  const tooMany = action === 'list' ? name : stray
  if (tooMany !== undefined) return fail(`"${tooMany}" is one argument too many. ${usage}`)
  if (action === 'list') return { action }
  if (action === 'delete') {
    return { action, key: name ?? fail('Name the key: ai-hub keys delete ID. "ai-hub keys" lists them.') }
  }
  if (name === undefined) return fail(`Say what the key is for: ai-hub keys create phone. ${usage}`)
  const { role, expires, training, 'requests-per-minute': limit } = values
  const request = ApiKeyRequest.safeParse({
    name,
    ...(role !== undefined && { role }),
    ...(typeof expires === 'string' && { expires_at: toSeconds(expires, deps) }),
    ...(limit !== undefined && { requests_per_minute: Number(limit) }),
    training: training === true,
  })
  if (request.success) return { action: 'create', request: request.data }
  const issue = request.error.issues[0]
  const option = issue?.path[0] === 'name' ? 'The name' : `--${String(issue?.path[0]).replaceAll('_', '-')}`
  return fail(`${option}: ${issue?.message}. ${usage}`)
}

/** Unix seconds. A date alone means its end where the user is. */
function toSeconds(text: string, { fail, now }: { fail: (message: string) => never; now: () => number }): number {
  const span = /^(\d{1,5})([hdw])$/.exec(text)
  const date = /^\d{4}-\d{2}-\d{2}$/.test(text) ? new Date(`${text}T23:59:59`) : new Date(Number.NaN)
  const ms = span === null ? date.getTime() : now() + Number(span[1]) * (UNIT_MS[span[2] ?? ''] ?? 0)
  if (Number.isNaN(ms))
    return fail('--expires takes a number of hours, days or weeks (12h, 30d, 8w) or a date such as 2030-12-31.')
  if (ms <= now()) return fail('--expires is over already; give a time to come.')
  return Math.floor(ms / 1000)
}
