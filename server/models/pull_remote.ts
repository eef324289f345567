/** What is asked of a model hub on the network: lists a repository of the model hub and opens files, for a download that was asked for by name. */
import * as z from 'zod'
import { HubError } from '../lib/error.ts'
import type { RemoteFile } from './pull_choose.ts'
import { isUnsafePath, type PullSource } from './pull_name.ts'

export const DEFAULT_ENDPOINT = 'https://huggingface.co'

export type Remote = {
  endpoint: string
  /**
   * All files of a repository, with size and checksum where it is known.
   * @throws HubError not_found, forbidden, download_failed
   */
  list(repo: Repo, signal: AbortSignal): Promise<RemoteFile[]>
  /**
   * Begins to read an address, behind its redirects. The answer is 200, 206 or 416; its body is the caller's to read or to cancel.
   * @throws HubError not_found, forbidden, download_failed; see `passing`
   */
  open(url: string, headers: { [name: string]: string }, signal: AbortSignal): Promise<Response>
  /** Address of a file of a repository. */
  fileUrl(repo: Repo, path: string): string
  pageUrl(repo: Repo): string
}
export type Repo = Omit<Extract<PullSource, { kind: 'repo' }>, 'kind'>

/** The cause of an error that may be gone at the next try; the server may have said when. */
export class Passing {
  readonly retryAfterMs: number | undefined
  constructor(retryAfterMs?: number) {
    this.retryAfterMs = retryAfterMs
  }
}
export const passing = (error: HubError): Passing | undefined =>
  error.cause instanceof Passing ? error.cause : undefined

const REDIRECTS = [301, 302, 303, 307, 308]
const MOST_REDIRECTS = 10
const MOST_PAGES = 20
/** A list of files that is longer than this is not one. */
const MOST_LIST_BYTES = 32 * 2 ** 20

const Entries = z.array(
  z.looseObject({
    type: z.string(),
    path: z.string(),
    size: z.number().min(0).optional(),
    lfs: z.looseObject({ oid: z.string(), size: z.number().min(0).optional() }).nullish(),
  }),
)

/** @throws HubError invalid_request when the endpoint is no address */
export function createRemote(options: {
  endpoint?: string | undefined
  token?: string | undefined
  fetch?: typeof fetch
}): Remote {
  const { token, fetch: get = fetch } = options
  const endpoint = (options.endpoint || DEFAULT_ENDPOINT).replace(/\/+$/, '')
  if (!/^https?:\/\//.test(endpoint) || !URL.canParse(endpoint)) {
    throw new HubError(
      'invalid_request',
      `HF_ENDPOINT is '${endpoint}', which is no address. Use one like ${DEFAULT_ENDPOINT}.`,
    )
  }
  const home = new URL(endpoint).origin

  /** Follows redirects itself, so that the token goes to the model hub and to nobody else. */
  async function request(url: string, headers: { [name: string]: string }, signal: AbortSignal): Promise<Response> {
    let at = new URL(url)
    for (let hop = 0; hop <= MOST_REDIRECTS; hop++) {
      const response = await send(at, headers, signal)
      if (!REDIRECTS.includes(response.status)) return response
      await response.body?.cancel()
      const to = response.headers.get('location') ?? ''
      if (to === '' || !URL.canParse(to, at.href)) throw failed(`${at.host} redirects to nowhere`)
      const next = new URL(to, at)
      if (next.protocol !== 'https:' && !(next.protocol === 'http:' && at.protocol === 'http:')) {
        throw failed(`${at.host} redirects from https to ${next.protocol}//${next.host}, which is not followed`)
      }
      at = next
    }
    throw failed(`${new URL(url).host} redirects in a circle`)
  }

  async function send(at: URL, headers: { [name: string]: string }, signal: AbortSignal): Promise<Response> {
    const all = {
      'user-agent': 'ai-backend-hub',
      // A length and a range are those of the file only when nothing packs it on the way.
      'accept-encoding': 'identity',
      ...headers,
      ...(token && at.origin === home && { authorization: `Bearer ${token}` }),
    }
    try {
      return await get(at.href, { headers: all, redirect: 'manual', signal })
    } catch (thrown) {
      if (signal.aborted) throw thrown
      throw broken(at.host, thrown)
    }
  }

  async function open(url: string, headers: { [name: string]: string }, signal: AbortSignal): Promise<Response> {
    const response = await request(url, headers, signal)
    if ([200, 206, 416].includes(response.status)) return response
    await response.body?.cancel()
    throw refusal(response, url, token !== undefined && token !== '', new URL(url).origin === home)
  }

  return {
    endpoint,
    open,
    async list(repo, signal) {
      const { owner, repo: name, revision } = repo
      const files: RemoteFile[] = []
      let url: string | undefined =
        `${endpoint}/api/models/${owner}/${name}/tree/${encodeURIComponent(revision)}?recursive=true`
      for (let page = 0; url !== undefined && page < MOST_PAGES; page++) {
        const response = await open(url, { accept: 'application/json' }, signal)
        const entries = Entries.safeParse(await readJson(response, signal))
        if (!entries.success) throw failed(`${endpoint} did not answer with a list of files; is it a model hub?`)
        for (const { type, path, size, lfs } of entries.data) {
          if (type !== 'file' || isUnsafePath(path)) continue
          const bytes = lfs?.size ?? size
          if (bytes === undefined || !Number.isSafeInteger(bytes)) continue
          const sum = lfs?.oid.replace(/^sha256:/, '').toLowerCase()
          files.push({ path, bytes, ...(sum !== undefined && /^[0-9a-f]{64}$/.test(sum) && { sha256: sum }) })
        }
        const next: string | undefined = /<([^>]+)>\s*;\s*rel="?next"?/.exec(response.headers.get('link') ?? '')?.[1]
        // Further pages come from the same server, or from none.
        url =
          next !== undefined && URL.canParse(next, url) && new URL(next, url).origin === home
            ? new URL(next, url).href
            : undefined
      }
      return files
    },
    fileUrl: ({ owner, repo, revision }, path) =>
      `${endpoint}/${owner}/${repo}/resolve/${encodeURIComponent(revision)}/${path.split('/').map(encodeURIComponent).join('/')}`,
    pageUrl: ({ owner, repo }) => `${endpoint}/${owner}/${repo}`,
  }
}

async function readJson(response: Response, signal: AbortSignal): Promise<unknown> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  try {
    for await (const chunk of response.body ?? []) {
      bytes += chunk.length
      if (bytes > MOST_LIST_BYTES) throw failed('the list of files does not end')
      chunks.push(chunk)
    }
    return JSON.parse(Buffer.concat(chunks).toString('utf8'))
  } catch (thrown) {
    if (signal.aborted || thrown instanceof HubError) throw thrown
    if (thrown instanceof SyntaxError) return undefined
    throw broken(new URL(response.url).host, thrown)
  }
}

/** What an answer that is no file means, in words that say what to do. */
function refusal(response: Response, url: string, hasToken: boolean, isHub: boolean): HubError {
  const { status, headers } = response
  const what = nameOf(url)
  const code = headers.get('x-error-code') ?? ''
  const param = { param: 'model' }
  if (code === 'GatedRepo' || ((status === 401 || status === 403) && code !== 'RepoNotFound')) {
    const access = !isHub
      ? 'it wants a login, which is not given to other servers. Download the file by hand into local_models'
      : hasToken
        ? `the token in HF_TOKEN gives no access to it. Accept its terms on its page, or use a token that may read it`
        : `it is private, its terms have to be accepted first, or it is not there. Accept them on its page, make a token that may read, and start the hub with HF_TOKEN=...`
    return new HubError('forbidden', `${what} was refused: ${access}.`, param)
  }
  if (status === 404 || status === 410 || code === 'RepoNotFound') {
    const maybe = code === 'RepoNotFound' && !hasToken ? '; one that is private needs a token in HF_TOKEN' : ''
    return new HubError('not_found', `There is no ${what}. Look at how its name is written${maybe}.`, param)
  }
  if (status === 408 || status === 425 || status === 429 || status >= 500) {
    return failed(
      status === 429 ? `${hostOf(url)} asks to wait` : `${hostOf(url)} answered ${status}`,
      new Passing(retryAfterMs(headers.get('retry-after'))),
    )
  }
  return failed(`${hostOf(url)} answered ${status} for ${what}`)
}

/** Seconds, or a date. */
function retryAfterMs(text: string | null): number | undefined {
  if (text === null) return undefined
  const ms = /^\d+$/.test(text.trim()) ? Number(text) * 1000 : Date.parse(text) - Date.now()
  return Number.isFinite(ms) && ms >= 0 ? ms : undefined
}

/** A connection that could not be made or that ended early. */
export function broken(host: string, thrown: unknown): HubError {
  const cause = thrown instanceof Error ? thrown.cause : undefined
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : undefined
  const why =
    code === 'ENOTFOUND' || code === 'EAI_AGAIN'
      ? `${host} is not found: this machine is offline, or reaches the network by a proxy only (NODE_USE_ENV_PROXY=1 with HTTPS_PROXY makes the hub use it)`
      : code === 'ECONNREFUSED'
        ? `${host} takes no connection`
        : `the connection to ${host} broke off${code === undefined ? '' : ` (${code})`}`
  return failed(why, new Passing())
}

export function failed(why: string, cause?: Passing): HubError {
  return new HubError('download_failed', `${why}.`, cause === undefined ? {} : { cause })
}

const hostOf = (url: string): string => new URL(url).host

/** `owner/repo`, or the file's name; an address may carry a signature in its query, which is not for logs. */
function nameOf(url: string): string {
  const { pathname, host } = new URL(url)
  const api = /\/api\/models\/([^/]+\/[^/]+)/.exec(pathname)?.[1]
  return api ?? `${host}${pathname}`
}
