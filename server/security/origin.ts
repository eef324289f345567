/** Which browser pages may talk to the hub: its own, and the origins that the user allowed by name. */

export type OriginHeaders = {
  host?: string | undefined
  origin?: string | undefined
  'sec-fetch-site'?: string | string[] | undefined
  'sec-fetch-mode'?: string | string[] | undefined
}

export type OriginRules = {
  /** Exact origins, `http://localhost:3000`. */
  allowedOrigins: readonly string[]
  /** True while no key is demanded: then only loopback names are taken as Host. */
  loopbackOnly: boolean
}

export type Verdict = {
  allowed: boolean
  /** Why not, and what to do. */
  reason?: string
  /** The origin that CORS headers must name, when the page is not from the very address that it calls. */
  corsOrigin?: string
}

/**
 * Judges a request or a WebSocket upgrade by its headers. A foreign Host is DNS rebinding; a foreign Origin is another
 * site's page. Requests without an Origin (programs, address bar) are allowed.
 */
export function checkOrigin(headers: OriginHeaders, rules: OriginRules): Verdict {
  const host = splitHost(headers.host)
  if (host === undefined || (rules.loopbackOnly && !isLoopback(host.name))) {
    return refuse(
      `Host '${headers.host ?? ''}' is not a name of this machine. Call the hub as 127.0.0.1, localhost or [::1].`,
    )
  }
  const origin = headers.origin
  if (origin === undefined) {
    const isForeign = headers['sec-fetch-site'] === 'cross-site' && headers['sec-fetch-mode'] !== 'navigate'
    return isForeign ? refuse('Requests of pages of other sites are refused.') : { allowed: true }
  }
  if (rules.allowedOrigins.includes(origin) && origin !== 'null') return { allowed: true, corsOrigin: origin }
  const own = /^http:\/\//.test(origin) ? splitHost(origin.slice('http://'.length)) : undefined
  if (own !== undefined && own.port === host.port) {
    if (own.name === host.name) return { allowed: true }
    if (isLoopback(own.name) && isLoopback(host.name)) return { allowed: true, corsOrigin: origin }
  }
  // A proxy with TLS before a hub that demands keys: its page names the host with another scheme.
  if (!rules.loopbackOnly && origin.toLowerCase() === `https://${headers.host?.toLowerCase()}`) return { allowed: true }
  return refuse(`Origin '${origin}' is not allowed. Add it to the setting allowedOrigins to let this page use the hub.`)
}

/** True for an address that only this machine can reach. */
export function isLoopback(address: string): boolean {
  return address === 'localhost' || address === '::1' || address === '[::1]' || /^127(\.\d{1,3}){3}$/.test(address)
}

function refuse(reason: string): Verdict {
  return { allowed: false, reason }
}

/** `name[:port]` of a Host header; undefined when it is anything else. */
function splitHost(host: string | undefined): { name: string; port: string } | undefined {
  const match = /^(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::(\d{1,5}))?$/i.exec(host ?? '')
  return match === null ? undefined : { name: match[1]!.toLowerCase(), port: match[2] ?? '80' }
}
