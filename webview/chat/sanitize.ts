/** The last gate before text of a model becomes part of the page. */
import DOMPurify from 'dompurify'

DOMPurify.addHook('afterSanitizeAttributes', node => {
  if (node.nodeName !== 'A') return
  // Anything but an address of the web is text.
  if (!/^https?:\/\/|^mailto:/i.test(node.getAttribute('href') ?? '')) node.removeAttribute('href')
  node.setAttribute('target', '_blank')
  node.setAttribute('rel', 'noopener noreferrer')
})

/** Trusted where the browser knows such a thing. */
export function sanitize(html: string): string {
  const clean = DOMPurify.sanitize(html, {
    USE_PROFILES: { html: true, mathMl: true },
    ADD_TAGS: ['semantics', 'annotation'],
    FORBID_TAGS: [
      'style',
      'form',
      'input',
      'textarea',
      'select',
      'option',
      'dialog',
      'video',
      'audio',
      'picture',
      'source',
      'map',
    ],
    FORBID_ATTR: ['style', 'id', 'name'],
    RETURN_TRUSTED_TYPE: true,
  })
  // React takes a trusted value in the place of a text; its types do not say so.
  return clean as unknown as string
}
