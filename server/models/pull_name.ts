/** What a person writes to get a model, as the place where it is: a repository of the model hub, or the address of one file. */
import { HubError } from '../lib/error.ts'
import { quantOf } from './pull_choose.ts'

export type PullSource =
  /** `path` names one file of the repository. */
  | { kind: 'repo'; owner: string; repo: string; revision: string; quant?: string; path?: string }
  | { kind: 'url'; url: string }

/** Names that people know the model hub by, beside the address that is set. */
const HUB_HOSTS = ['huggingface.co', 'www.huggingface.co', 'hf.co']
const NAME = /^[A-Za-z0-9](?:[\w.-]{0,94}[A-Za-z0-9_])?$/
const EXAMPLE = 'Qwen/Qwen3-4B-GGUF:Q4_K_M'

/**
 * @param endpoint address of the model hub, without a slash at its end
 * @throws HubError invalid_request that says what a name looks like
 */
export function parsePullName(text: string, endpoint: string): PullSource {
  const name = text.trim().replace(/^(?:hf|huggingface):(?:\/\/)?/i, '')
  if (/^https?:\/\//i.test(name)) return parseAddress(name, endpoint)
  if (/^[a-z][a-z0-9+.-]*:\/\//i.test(name)) {
    throw wrong(`'${shorten(text)}' is no address that can be fetched; use https`)
  }
  if (/^(?:[.~]{1,2}[\\/]|[\\/]|[A-Za-z]:[\\/])/.test(name)) {
    throw wrong(`'${shorten(text)}' is a file of this machine; copy it into local_models instead`)
  }
  const host = HUB_HOSTS.find(each => name.toLowerCase().startsWith(`${each}/`))
  return parseRepo(host === undefined ? name : name.slice(host.length + 1), text)
}

function parseAddress(name: string, endpoint: string): PullSource {
  if (!URL.canParse(name)) throw wrong(`'${shorten(name)}' is not a whole address`)
  const url = new URL(name)
  if (url.username !== '' || url.password !== '') {
    throw wrong('an address with a user name or password is not taken, since it would be kept in files and logs')
  }
  const own = new URL(endpoint)
  const isHub = url.host === own.host || (HUB_HOSTS.includes(url.host) && url.port === '')
  if (isHub) {
    const root = url.host === own.host ? own.pathname.replace(/\/+$/, '') : ''
    if (url.pathname.startsWith(`${root}/`)) return parseRepo(decode(url.pathname.slice(root.length + 1)), name)
  }
  if (!/\.gguf$/i.test(url.pathname)) {
    throw wrong(`'${shorten(name)}' is not the address of a .gguf file`)
  }
  url.hash = ''
  return { kind: 'url', url: url.href }
}

/** `owner/repo`, `owner/repo:QUANT`, `owner/repo/FILE.gguf`, `owner/repo/resolve/REVISION/FILE.gguf`, `owner/repo/tree/REVISION`. */
function parseRepo(text: string, whole: string): PullSource {
  const parts = text.replace(/\/+$/, '').split('/')
  const [owner = '', named = ''] = parts
  if (parts.length < 2) {
    throw wrong(`'${shorten(whole)}' names no repository; a name has two parts, as ${EXAMPLE}`)
  }
  const rest = parts.slice(2)
  const colon = rest.length === 0 ? named.indexOf(':') : -1
  const repo = colon < 0 ? named : named.slice(0, colon)
  const quant = colon < 0 ? undefined : named.slice(colon + 1)
  for (const part of [owner, repo]) {
    if (!NAME.test(part) || /\.\.|--/.test(part) || HUB_HOSTS.includes(part.toLowerCase())) {
      throw wrong(
        `'${shorten(whole)}' names no repository: '${shorten(part)}' is no name there; an example is ${EXAMPLE}`,
      )
    }
  }
  if (quant !== undefined && !/^[\w.-]{1,40}$/.test(quant)) {
    throw wrong(`'${shorten(quant)}' is no quantisation; an example is ${EXAMPLE}`)
  }
  const base = { kind: 'repo' as const, owner, repo, revision: 'main' }
  if (quant !== undefined) return /^latest$/i.test(quant) ? base : { ...base, quant }
  if (rest.length === 0) return base
  const isView = ['resolve', 'blob', 'raw', 'tree'].includes(rest[0] ?? '')
  const revision = isView ? (rest[1] ?? 'main') : 'main'
  const path = (isView ? rest.slice(2) : rest).join('/')
  if (!/^[\w.-]{1,100}$/.test(revision) || revision.includes('..')) {
    throw wrong(`'${shorten(revision)}' is no revision of a repository`)
  }
  if (path === '') return { ...base, revision }
  if (isUnsafePath(path) || !/\.gguf$/i.test(path)) {
    throw wrong(`'${shorten(path)}' is no .gguf file of a repository`)
  }
  return { ...base, revision, path }
}

/** A path that does not stay where it is put: an address made of it would be another one. */
export function isUnsafePath(path: string): boolean {
  return path.split('/').some(part => part === '' || part === '.' || part === '..') || /[\p{Cc}\\]/u.test(path)
}

/** The same again, as short as it can be said. */
export function tellSource(source: PullSource): string {
  if (source.kind === 'url') return source.url
  const { owner, repo, revision, quant, path } = source
  if (path !== undefined) {
    return revision === 'main' ? `${owner}/${repo}/${path}` : `${owner}/${repo}/resolve/${revision}/${path}`
  }
  return `${owner}/${repo}${quant === undefined ? '' : `:${quant}`}`
}

const RESERVED = /^(?:con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(?:\.|$)/i

/**
 * The file name for what a server calls `path`: its last part, with what some system refuses replaced by `_`.
 * It ends in `.gguf`, has at most 180 characters, and begins with no dot, since such files are not looked at.
 */
export function safeFileName(path: string): string {
  const last = path.split(/[\\/]/).at(-1) ?? ''
  const plain = last.replace(/[\p{Cc}<>:"|?*\\/]/gu, '_').replace(/\.gguf$/i, '')
  const base = plain.replace(/^[.\s]+/, '').replace(/[.\s]+$/, '')
  // Of a split model the end tells the parts apart.
  const short = base.length <= 175 ? base : `${base.slice(0, 155)}${base.slice(-20)}`
  const named = short === '' ? 'model' : RESERVED.test(short) ? `_${short}` : short
  return `${named.toWellFormed()}.gguf`
}

/** Where a model goes, by its name alone; what the file itself says may correct it. */
export function folderByName(name: string): 'chat_models' | 'code_models' | 'vietnamese_models' | 'custom_models' {
  const words = name.toLowerCase()
  if (/embed|(?:^|[^a-z])bge(?:[^a-z]|$)|rerank/.test(words)) return 'custom_models'
  if (/vinallama|phogpt|vistral|vietna|(?:^|[^a-z])viet/.test(words)) return 'vietnamese_models'
  if (/code|devstral|(?:^|[^a-z])fim(?:[^a-z]|$)/.test(words)) return 'code_models'
  return 'chat_models'
}

/** Quantisation that the file of an address says in its name. */
export const quantOfUrl = (url: string): string | undefined => quantOf(decode(new URL(url).pathname))

/** A path with its percent signs resolved; one that cannot be is left as it is. */
export function decode(path: string): string {
  try {
    return decodeURIComponent(path)
  } catch {
    return path
  }
}

const shorten = (text: string): string => (text.length > 120 ? `${text.slice(0, 120)}...` : text)
const wrong = (what: string): HubError => new HubError('invalid_request', `${what}.`, { param: 'model' })
