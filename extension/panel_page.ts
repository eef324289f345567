/** The HTML of a page in a panel: its script and its styles come from the extension's own files, and nothing else runs. */
import type { KeptState } from '../server/wire/panel.ts'

export type PageFrame = {
  /** `chat`: the page is chat.js with chat.css. */
  name: string
  title: string
  /** Random, for this page only. */
  nonce: string
  /** The address of a built file in the panel. */
  file(name: string): string
  /** As the editor is set to, `en`, `vi`, `zh-cn`. */
  language: string
  state: KeptState
  /** The part of the page that is wanted; empty for the first. */
  route: string
}

/**
 * As strict as in a browser, and no connection at all: the page speaks to the extension only. Scripts that a script with the
 * nonce loads need none of their own.
 */
const csp = (nonce: string): string =>
  [
    "default-src 'none'",
    `script-src 'nonce-${nonce}'`,
    `style-src 'nonce-${nonce}'`,
    'img-src data:',
    "base-uri 'none'",
    "form-action 'none'",
    "require-trusted-types-for 'script'",
    'trusted-types dompurify',
  ].join('; ')

export function pageHtml({ name, title, nonce, file, language, state, route }: PageFrame): string {
  return `<!doctype html>
<html lang="${escapeHtml(language)}">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${csp(nonce)}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeHtml(title)}</title>
<link rel="stylesheet" nonce="${nonce}" href="${escapeHtml(file(`${name}.css`))}">
<script type="module" nonce="${nonce}" src="${escapeHtml(file(`${name}.js`))}"></script>
</head>
<body data-state="${escapeHtml(JSON.stringify(state))}" data-route="${escapeHtml(route)}">
<div id="root"></div>
</body>
</html>
`
}

function escapeHtml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('"', '&quot;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}
