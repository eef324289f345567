/** The last gate before text of a model becomes part of the page. */
import DOMPurify from 'dompurify'

DOMPurify.addHook('afterSanitizeAttributes', node => {
  const isLink = node.nodeName === 'A'
  // Anything but an address of the web is text, and only a link has one: formulas could have some as well.
  if (!isLink || !/^https?:\/\/|^mailto:/i.test(node.getAttribute('href') ?? '')) node.removeAttribute('href')
  const isPicture = node.nodeName === 'IMG' && /^data:image\/(png|jpeg|gif|webp);/i.test(node.getAttribute('src') ?? '')
  if (!isPicture) node.removeAttribute('src')
  if (!isLink) return
  node.setAttribute('target', '_blank')
  node.setAttribute('rel', 'noopener noreferrer')
})

/** What Markdown makes, and the formulas' elements: nothing else has a reason to be there. */
const TAGS = [
  ...[
    'p',
    'h1',
    'h2',
    'h3',
    'h4',
    'h5',
    'h6',
    'hr',
    'br',
    'blockquote',
    'ul',
    'ol',
    'li',
    'em',
    'strong',
    's',
    'a',
    'img',
  ],
  ...['pre', 'code', 'div', 'span', 'button', 'table', 'thead', 'tbody', 'tr', 'th', 'td'],
  ...['math', 'semantics', 'annotation', 'mrow', 'mi', 'mo', 'mn', 'mtext', 'mspace', 'mstyle', 'mpadded', 'mphantom'],
  ...[
    'menclose',
    'mfrac',
    'msqrt',
    'mroot',
    'msub',
    'msup',
    'msubsup',
    'munder',
    'mover',
    'munderover',
    'mtable',
    'mtr',
    'mtd',
  ],
]
const ATTRIBUTES = [
  ...['class', 'href', 'src', 'alt', 'title', 'start', 'type', 'tabindex', 'data-code', 'data-file', 'data-language'],
  ...['xmlns', 'display', 'encoding', 'accent', 'accentunder', 'columnalign', 'columnlines', 'columnspacing', 'depth'],
  ...[
    'displaystyle',
    'fence',
    'height',
    'largeop',
    'linebreak',
    'linethickness',
    'lspace',
    'mathbackground',
    'mathcolor',
  ],
  ...['mathsize', 'mathvariant', 'maxsize', 'minsize', 'notation', 'rowlines', 'rowspacing', 'rspace', 'scriptlevel'],
  ...['separator', 'stretchy', 'valign', 'voffset', 'width'],
]

/** Trusted where the browser knows such a thing. */
export function sanitize(html: string): string {
  const clean = DOMPurify.sanitize(html, {
    ALLOWED_TAGS: TAGS,
    ALLOWED_ATTR: ATTRIBUTES,
    ALLOW_DATA_ATTR: false,
    ALLOW_ARIA_ATTR: false,
    RETURN_TRUSTED_TYPE: true,
  })
  // React takes a trusted value in the place of a text; its types do not say so.
  return clean as unknown as string
}
