/** The one error that the hub throws on purpose. The doors map its code to HTTP and LSP; its message names the thing and the fix. */

/** HTTP status of every code; the doors read this table and nothing else decides a status. */
export const STATUS = {
  invalid_request: 400,
  context_length_exceeded: 400,
  unsupported_parameter: 400,
  invalid_api_key: 401,
  forbidden: 403,
  not_found: 404,
  model_not_found: 404,
  method_not_allowed: 405,
  conflict: 409,
  model_broken: 409,
  payload_too_large: 413,
  unsupported_media_type: 415,
  busy: 429,
  rate_limit_exceeded: 429,
  cancelled: 499,
  internal: 500,
  training_failed: 500,
  unusable_answer: 502,
  download_failed: 502,
  worker_crashed: 503,
  model_load_failed: 503,
  insufficient_memory: 503,
  shutting_down: 503,
  database_unusable: 503,
  insufficient_storage: 507,
} as const

export type ErrorCode = keyof typeof STATUS

/** An error as it crosses a process border. */
export type ErrorBody = { code: ErrorCode; message: string; param?: string; retryAfterS?: number }

export class HubError extends Error {
  readonly code: ErrorCode
  /** The request field at fault, as the caller wrote it: `messages.0.content`. */
  readonly param: string | undefined
  /** Seconds after which trying again is sensible (HTTP Retry-After). */
  readonly retryAfterS: number | undefined

  constructor(
    code: ErrorCode,
    message: string,
    options: { param?: string; retryAfterS?: number; cause?: unknown } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'HubError'
    this.code = code
    this.param = options.param
    this.retryAfterS = options.retryAfterS
  }

  get status(): number {
    return STATUS[this.code]
  }

  toBody(): ErrorBody {
    return {
      code: this.code,
      message: this.message,
      ...(this.param !== undefined && { param: this.param }),
      ...(this.retryAfterS !== undefined && { retryAfterS: this.retryAfterS }),
    }
  }

  static fromBody(body: ErrorBody): HubError {
    return new HubError(body.code, body.message, body)
  }

  /** Any thrown value as a HubError; what was not thrown on purpose becomes `internal`. */
  static from(thrown: unknown): HubError {
    if (thrown instanceof HubError) return thrown
    const message = thrown instanceof Error ? thrown.message : String(thrown)
    return new HubError('internal', message, { cause: thrown })
  }
}
