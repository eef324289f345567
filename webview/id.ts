/** Ids that a page makes up. */

/** 128 random bits in hexadecimal. Not randomUUID: a page has that only from this machine or over TLS. */
export function newId(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), byte => byte.toString(16).padStart(2, '0')).join('')
}
