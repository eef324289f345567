/** Errors at the door: a HubError in OpenAI's shape, and a schema's complaint as a HubError. */
import type * as z from 'zod'
import { HubError } from '../lib/error.ts'

export type OpenAiError = { error: { message: string; type: string; param: string | null; code: string | null } }

/** OpenAI's shape of an error. `code` is the hub's own code. */
export function toOpenAiError(error: HubError): OpenAiError {
  return {
    error: { message: error.message, type: errorType(error.status), param: error.param ?? null, code: error.code },
  }
}

function errorType(status: number): string {
  if (status === 403) return 'permission_error'
  if (status === 429) return 'rate_limit_error'
  return status >= 500 ? 'server_error' : 'invalid_request_error'
}

/** The first thing that is wrong with a request, in words and with the path of the field. */
export function fromZodError(error: z.ZodError, prefix = ''): HubError {
  const { issue, path } = deepest(error.issues, prefix === '' ? [] : [prefix])
  if (issue === undefined) return new HubError('invalid_request', 'The request is not valid.')
  if (issue.code === 'unrecognized_keys') {
    const param = [...path, issue.keys[0] ?? ''].map(String).join('.')
    return new HubError('unsupported_parameter', `Unknown parameter: '${param}'. Remove it from the request.`, {
      param,
    })
  }
  const param = path.map(String).join('.')
  if (issue.code === 'invalid_type' && param !== '' && issue.message.endsWith('received undefined')) {
    return new HubError('invalid_request', `Missing required parameter: '${param}'.`, { param })
  }
  // Request schemas use the null type for one purpose: a parameter that is known and not supported.
  const refused = issue.code === 'invalid_type' && issue.expected === 'null'
  const message = param === '' || refused ? issue.message : `Invalid '${param}': ${issue.message}`
  return new HubError(refused ? 'unsupported_parameter' : 'invalid_request', message, param === '' ? {} : { param })
}

type Found = { issue: z.core.$ZodIssue | undefined; path: PropertyKey[] }

/** Of a union's branches the one that got furthest is what the caller meant. */
function deepest(issues: readonly z.core.$ZodIssue[], path: PropertyKey[]): Found {
  const first = issues[0]
  if (first === undefined) return { issue: undefined, path }
  const here = [...path, ...first.path]
  if (first.code !== 'invalid_union') return { issue: first, path: here }
  let best: Found = { issue: first, path: here }
  for (const branch of first.errors) {
    const found = deepest(branch, here)
    const isType = found.issue?.code === 'invalid_type' && found.path.length === here.length
    if (found.issue !== undefined && !isType && (best.issue === first || found.path.length > best.path.length)) {
      best = found
    }
  }
  return best
}
