/** Finds e-mail addresses of people, and leaves alone what only looks like one: examples, packages, decorators, remote hosts. */

const LOCAL = /[A-Za-z0-9._%+-]/
const DOMAIN = /(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,62})\.){1,8}[A-Za-z]{2,18}(?![A-Za-z0-9-])/y
const MAX_LOCAL = 64

/** Names that end like a file (logo@2x.png, react@18.min.js) are none; else two letters or a well-known ending. */
const ENDING =
  /^(?!(?:js|ts|py|rs|go|md|sh|rb|cc|hs|kt)$)(?:[a-z]{2}|com|org|net|edu|gov|mil|int|info|biz|name|pro|dev|app|xyz|online|site|tech|store|shop|blog|cloud|email|live|news|agency|studio|design|asia|mobi|company|solutions|software|systems|digital|academy|school|bank|health|law|finance)$/i
/** Reserved for examples (RFC 2606), or used like that by everyone. */
const EXAMPLE_DOMAIN =
  /(?:^|\.)(?:example|test|invalid|localhost|local|internal)(?:\.[a-z.]+)?$|^(?:domain|email|mail|company|yourcompany|yourdomain|mydomain|test|acme|foo|bar|site|website|host|server|abc|xyz|somewhere|doe)\.[a-z.]+$/i
const EXAMPLE_LOCAL =
  /^(?:user|users|username|name|firstname|lastname|firstnamelastname|your|you|yourname|youremail|your-?email|myemail|email|mail|someone|somebody|example|test|tester|testuser|foo|bar|baz|foobar|johndoe|janedoe|john|jane|alice|bob|abc|xyz|noreply|no-?reply|donotreply|ten|tencuaban)$/i
/** Users of remote shells: git@host is an address of a machine. */
const REMOTE_USER = /^(?:git|hg|svn|root|ubuntu|admin|deploy|ec2-user|pi|debian|centos)$/i

export function findEmails(text: string): { start: number; end: number }[] {
  const found: { start: number; end: number }[] = []
  for (let at = text.indexOf('@'); at !== -1; at = text.indexOf('@', at + 1)) {
    let start = at
    while (start > 0 && at - start < MAX_LOCAL && LOCAL.test(text[start - 1]!)) start--
    while (start < at && /[.%+-]/.test(text[start]!)) start++
    if (start === at) continue
    DOMAIN.lastIndex = at + 1
    const domain = DOMAIN.exec(text)?.[0]
    if (domain === undefined) continue
    const end = at + 1 + domain.length
    if (isAddress(text, start, at, end, domain)) found.push({ start, end })
  }
  return found
}

function isAddress(text: string, start: number, at: number, end: number, domain: string): boolean {
  const local = text.slice(start, at)
  const labels = domain.split('.')
  if (!ENDING.test(labels.at(-1)!) || labels.at(-2)!.length < 2) return false
  if (EXAMPLE_DOMAIN.test(domain)) return false
  const bare = local.replace(/[._%+]/g, '').replace(/\d{1,4}$/, '')
  if (EXAMPLE_LOCAL.test(bare) || REMOTE_USER.test(local)) return false
  // scheme://user:password@host is no address, nor is scheme://user@host.
  if (/:\/\/[^\s/]{0,130}$/.test(text.slice(Math.max(0, start - 140), start))) return false
  // user@host:path is the address of a remote copy.
  return !/^:[\w/~.-]+\//.test(text.slice(end, end + 40))
}
