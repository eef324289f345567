/** The kinds of secrets and personal data that are looked for: a pattern each, and what a match must further prove. */

export type SecretFinding = 'secret' | 'email' | 'phone' | 'payment'

export type SecretKind = {
  kind: string
  finding: SecretFinding
  /** Global. The secret is the group named `value`, else the whole match. Repetitions are bounded, so that no text takes long. */
  pattern: RegExp
  accept?(value: string, match: RegExpExecArray): boolean
}

/** Words that show a value to be an example and no secret. */
const PLACEHOLDER =
  /example|placeholder|your[-_]?|xxxx|changeme|change[-_]me|dummy|sample|fake|redacted|insert|replace|\*\*\*|\.\.\.|12345678|abcdefgh|\$\{|\{\{|^<|^%|^\$/i
const real = (value: string): boolean => !PLACEHOLDER.test(value) && distinct(value) > 6

/** Tokens that their maker gave a prefix. All are found by one look for the prefixes first. */
export const PREFIXES =
  /AKIA|ASIA|ABIA|ACCA|gh[pousr]_|github_pat_|glpat-|sk-|AIza|ya29\.|GOCSPX-|xox[abeoprs]-|xapp-|hooks\.slack\.com|[rs]k_(?:live|test)_|whsec_|PRIVATE KEY|eyJ|hf_|npm_|:AA|SG\.|:\/\//

export const PREFIXED: SecretKind[] = [
  {
    kind: 'private_key',
    finding: 'secret',
    pattern:
      /-----BEGIN (?:[A-Z0-9]{1,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----(?<value>(?:(?!-----END)[\s\S]){24,16000})(?:-----END (?:[A-Z0-9]{1,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----|$)/g,
    // "-----BEGIN PRIVATE KEY-----\n...\n-----END" in documentation has no key inside.
    accept: value => (value.match(/[A-Za-z0-9+/=]{16}/g) ?? []).some(real),
  },
  { kind: 'aws_key', finding: 'secret', pattern: /\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}\b/g, accept: real },
  { kind: 'github_token', finding: 'secret', pattern: /\bgh[pousr]_[A-Za-z0-9]{36,255}\b/g, accept: real },
  { kind: 'github_token', finding: 'secret', pattern: /\bgithub_pat_[A-Za-z0-9_]{50,255}\b/g, accept: real },
  { kind: 'gitlab_token', finding: 'secret', pattern: /\bglpat-[A-Za-z0-9_-]{20,64}/g, accept: real },
  {
    kind: 'openai_key',
    finding: 'secret',
    pattern: /\bsk-(?:(?:proj|svcacct|admin|ant|or)-)?[A-Za-z0-9_-]{20,220}/g,
    // A class name such as sk-fading-circle-container has no digits among capitals.
    accept: value => real(value) && /\d/.test(value) && /[A-Z]/.test(value) && /[a-z]/.test(value.slice(8)),
  },
  { kind: 'google_key', finding: 'secret', pattern: /\bAIza[0-9A-Za-z_-]{35}(?![0-9A-Za-z_-])/g, accept: real },
  { kind: 'google_key', finding: 'secret', pattern: /\bya29\.[0-9A-Za-z_-]{30,300}/g, accept: real },
  { kind: 'google_key', finding: 'secret', pattern: /\bGOCSPX-[0-9A-Za-z_-]{20,40}/g, accept: real },
  { kind: 'slack_token', finding: 'secret', pattern: /\bxox[abeoprs]-[0-9A-Za-z-]{20,200}/g, accept: real },
  { kind: 'slack_token', finding: 'secret', pattern: /\bxapp-\d-[0-9A-Za-z-]{20,200}/g, accept: real },
  {
    kind: 'slack_webhook',
    finding: 'secret',
    pattern: /hooks\.slack\.com\/(?:services|workflows)\/(?<value>[A-Za-z0-9_/]{24,120})/g,
    accept: value => real(value) && !/^T0{4}|X{6}/.test(value),
  },
  { kind: 'stripe_key', finding: 'secret', pattern: /\b[rs]k_(?:live|test)_[0-9A-Za-z]{16,120}\b/g, accept: real },
  { kind: 'stripe_key', finding: 'secret', pattern: /\bwhsec_[0-9A-Za-z+/]{24,80}/g, accept: real },
  {
    kind: 'jwt',
    finding: 'secret',
    pattern: /\beyJ[A-Za-z0-9_-]{8,2000}\.eyJ[A-Za-z0-9_-]{8,6000}\.[A-Za-z0-9_-]{16,1200}/g,
    accept: real,
  },
  { kind: 'huggingface_token', finding: 'secret', pattern: /\bhf_[A-Za-z0-9]{30,40}\b/g, accept: real },
  { kind: 'npm_token', finding: 'secret', pattern: /\bnpm_[A-Za-z0-9]{36}\b/g, accept: real },
  {
    kind: 'sendgrid_key',
    finding: 'secret',
    pattern: /\bSG\.[A-Za-z0-9_-]{16,32}\.[A-Za-z0-9_-]{32,64}/g,
    accept: real,
  },
  {
    kind: 'telegram_token',
    finding: 'secret',
    pattern: /\b\d{8,10}:AA[A-Za-z0-9_-]{32,34}(?![A-Za-z0-9_-])/g,
    accept: real,
  },
  {
    kind: 'url_password',
    finding: 'secret',
    pattern: /\b[a-z][a-z0-9+.-]{1,15}:\/\/[^\s:@/"'<>`]{1,64}:(?<value>[^\s@/"'<>`]{6,128})@/gi,
    accept: value => !PLACEHOLDER.test(value) && !WEAK.test(value) && distinct(value) > 4,
  },
]

/** What tutorials write for a password. */
const WEAK =
  /^(?:pass(?:w(?:or)?d)?|secret|postgres|mysql|root|admin|guest|user|test|demo|hunter2|qwerty|letmein|mat_?khau|matkhau|123456)[\w!@#$]{0,5}$/i

const SECRET_NAME =
  'api[_-]?key|apikey|secret|token|passw(?:or)?d|passwd|pwd|auth[_-]?key|access[_-]?key|account[_-]?key|private[_-]?key|encryption[_-]?key|signing[_-]?key|credentials?|mật khẩu|mat_?khau'
/** Names that only sound secret: a number of tokens, the place of a key, what is public or a hash. */
const HARMLESS_SUFFIX =
  /^(?:i[sz]|s$|s?[_-]?(?:count|limit|len|type|name|id|ur[il]|path|file|field|hash|expir|ttl|regex|pattern|header|prefix|per|max|min|usage|budget|endpoint|salt))/i
const HARMLESS_PREFIX =
  /(?:hash|sha\d*|md5|checksum|digest|commit|public|pub|csrf|max|min|num|pad|eos|bos|page|next|continuation|cache)[_-]?$/i

/** Secrets of no known form that are given to a name which says that they are one. */
export const ASSIGNED: SecretKind[] = [
  {
    kind: 'password',
    finding: 'secret',
    pattern: new RegExp(
      `(?:${SECRET_NAME})(?<suffix>[A-Za-z0-9_-]{0,20})(?<close>["'\\\\\\]]{0,4})(?<space>\\s{0,3})(?:=>|:=|[:=]|\\s(?:is|là))\\s{0,3}(?<quote>\\\\?["'\`]?)(?<value>[^\\s"'\`,;<>(){}\\[\\]\\\\]{8,300})`,
      'gi',
    ),
    accept: (value, match) => isAssignedSecret(value, match),
  },
]

function isAssignedSecret(value: string, match: RegExpExecArray): boolean {
  const suffix = match.groups!.suffix!
  const before = match.input.slice(Math.max(0, match.index - 24), match.index)
  if (HARMLESS_SUFFIX.test(suffix) || HARMLESS_PREFIX.test(before)) return false
  if (PLACEHOLDER.test(value) || WEAK.test(value)) return false
  if (/^(?:https?:|urn:|\.{0,2}\/|[a-z]:\\|process\.|os\.|env\.|self\.|this\.|config\.)/i.test(value)) return false
  if (/^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-/i.test(value) || /^(?:sha\d+|md5)[-:]/i.test(value)) return false
  const digits = value.match(/\d/g)?.length ?? 0
  if (digits < (value.length < 24 ? 2 : 1) || !/[A-Za-z]/.test(value)) return false
  const quoted = match.groups!.quote !== ''
  if (!quoted) {
    // Without quotes it is a secret in a settings file (NAME=value at the start of a line) or in prose, never an expression of code.
    if (
      /^[(;]/.test(match.input.slice(match.index + match[0].length)) ||
      /^[A-Za-z_$][\w$]*(?:\.[A-Za-z_$][\w$]*)+$/.test(value)
    )
      return false
    if (value.length < 12 || (digits < 3 && value.length < 24)) return false
  }
  const isPassword = /^(?:pass|pwd|m[aậ]t)/i.test(match[0])
  if (isPassword && quoted) return value.length >= 8 && entropy(value) >= 2.9 && classes(value) >= 3
  return value.length >= 16 && entropy(value) >= 3.3
}

export const NUMBERS: SecretKind[] = [
  {
    kind: 'phone_vn',
    finding: 'phone',
    pattern: /(?<![\w.+\-/#&$]|\d[ ,])(?:(?:\+|00)84[ .-]?(?:\(0\)[ ]?)?|0)[35789]\d(?:[ .-]?\d){7}(?![\w-]|[.,]\d)/g,
    accept: value => realPhone(value) && (value.match(/[ .-]/g) ?? []).length <= 4,
  },
  {
    kind: 'phone_vn',
    finding: 'phone',
    pattern:
      /(?<![\w.+\-/#&$]|\d[ ,])(?:\(02\d{1,2}\)[ .-]?|(?:02|\+84[ .-]?2)\d{1,2}[ .-])\d{3,4}[ .-]?\d{3,4}(?![\w-]|[.,]\d)/g,
    accept: value => realPhone(value) && count(value) >= 10,
  },
  {
    kind: 'phone_international',
    finding: 'phone',
    pattern: /(?<![\w.+\-/#&$)\]])\+[1-9]\d{0,2}(?:[ .-]?\(?\d{1,4}\)?){2,6}(?![\w-]|[.,]\d)/g,
    accept: value => realPhone(value) && count(value) >= 9 && count(value) <= 15,
  },
  {
    kind: 'phone_us',
    finding: 'phone',
    pattern:
      /(?<![\w.+\-/#&$]|\d )(?:1[ .-])?(?:\([2-9]\d{2}\)[ .-]?|[2-9]\d{2}[.-])[2-9]\d{2}[ .-]\d{4}(?![\w-]|[.,]\d)/g,
    accept: realPhone,
  },
  {
    kind: 'card',
    finding: 'payment',
    pattern:
      /(?<![\w.+\-/#&$]|\d[ ,])(?:\d{4}([ -])\d{4}\1\d{4}\1\d{4}|3[47]\d{2}([ -])\d{6}\2\d{5}|[3-6]\d{12,18})(?![\w-]|[.,]\d)/g,
    accept: isCard,
  },
  {
    kind: 'iban',
    finding: 'payment',
    pattern: /(?<![\w-])[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?(?![\w-])/g,
    accept: isIban,
  },
]

const count = (value: string) => value.replace(/\D/g, '').length

/** Not the numbers that examples are written with: 123 456 789, 0909 090909, 555-0199. */
function realPhone(value: string): boolean {
  const digits = value.replace(/\D/g, '')
  if (/1234567|2345678|3456789|9876543|8765432|5550?1\d\d$/.test(digits)) return false
  return distinct(digits) > 3
}

const TEST_CARDS =
  /^(?:4242|4111111111111111|4012888888881881|4000000000000|5555555555554444|5105105105105100|378282246310005|371449635398431|6011111111111117|3056930902|3566002020360505|4000056655665556|5200828282828210|2223003122003222)/

function isCard(value: string): boolean {
  const digits = value.replace(/\D/g, '')
  if (TEST_CARDS.test(digits) || distinct(digits) < 5) return false
  const { length } = digits
  const issued =
    (/^4/.test(digits) && (length === 13 || length === 16 || length === 19)) ||
    (/^(?:5[1-5]|2[2-7])/.test(digits) && length === 16) ||
    (/^3[47]/.test(digits) && length === 15) ||
    (/^(?:6011|65|64[4-9]|62|35(?:2[89]|[3-8]))/.test(digits) && length >= 16) ||
    (/^3(?:0[0-5]|[68])/.test(digits) && length === 14)
  return issued && luhn(digits)
}

export function luhn(digits: string): boolean {
  let sum = 0
  for (let i = 0; i < digits.length; i++) {
    const digit = Number(digits[digits.length - 1 - i])
    const doubled = i % 2 === 1 ? digit * 2 : digit
    sum += doubled > 9 ? doubled - 9 : doubled
  }
  return sum % 10 === 0
}

const TEST_IBANS = new Set([
  'GB82WEST12345698765432',
  'DE89370400440532013000',
  'GB29NWBK60161331926819',
  'FR1420041010050500013M02606',
])

function isIban(value: string): boolean {
  const code = value.replace(/ /g, '')
  if (code.length < 15 || code.length > 34 || TEST_IBANS.has(code) || count(code) < 8) return false
  let rest = 0
  for (const char of code.slice(4) + code.slice(0, 4)) rest = Number(`${rest}${Number.parseInt(char, 36)}`) % 97
  return rest === 1
}

/** Shannon entropy of the characters, in bits per character. */
export function entropy(text: string): number {
  const counts = new Map<string, number>()
  for (const char of text) counts.set(char, (counts.get(char) ?? 0) + 1)
  let bits = 0
  for (const n of counts.values()) bits -= (n / text.length) * Math.log2(n / text.length)
  return bits
}

function distinct(text: string): number {
  return new Set(text).size
}

function classes(text: string): number {
  return [/[a-z]/, /[A-Z]/, /\d/, /[^A-Za-z0-9]/].filter(pattern => pattern.test(text)).length
}
