/** Why a request to the hub failed, in its own words. */

export class HubFailure extends Error {
  /** The hub's error code; `unreachable` when there was no answer, or it broke off. */
  readonly code: string
  readonly status: number

  constructor(code: string, message: string, status = 0) {
    super(message)
    this.name = 'HubFailure'
    this.code = code
    this.status = status
  }

  get unreachable(): boolean {
    return this.code === 'unreachable'
  }
}

/** @param body what the hub answered: OpenAI's error form */
export function toFailure(status: number, body: unknown): HubFailure {
  const error = (body as { error?: { message?: unknown; code?: unknown } } | null | undefined)?.error
  const message = typeof error?.message === 'string' ? error.message : `HTTP ${status}`
  return new HubFailure(typeof error?.code === 'string' ? error.code : `http_${status}`, message, status)
}

export function toHubFailure(thrown: unknown): HubFailure {
  if (thrown instanceof HubFailure) return thrown
  return new HubFailure('unreachable', thrown instanceof Error ? thrown.message : String(thrown))
}
