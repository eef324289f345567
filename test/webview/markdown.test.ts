/** Markdown of the pages: what it draws, and what it never lets through, before the browser's own gate. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { createMarkdown, type Extras, needs } from '../../webview/chat/markdown.ts'

const draw = (text: string, extras: Extras = {}): string[] =>
  createMarkdown(
    () => extras,
    () => ({ copy: 'Copy' }),
  )(text).map(({ html }) => html.trim())

test('blocks stand for themselves, so that only the last one of a growing text is drawn again', () => {
  assert.deepEqual(draw('# Title\n\none **two**\n\n- a\n- b'), [
    '<h1>Title</h1>',
    '<p>one <strong>two</strong></p>',
    '<ul>\n<li>a</li>\n<li>b</li>\n</ul>',
  ])
  const text = 'First.\n\n```js\nlet a\n```\n\nSecond *one*.\n\n> quote'
  for (let end = 1; end <= text.length; end++) {
    const [before, after] = [draw(text.slice(0, end - 1)), draw(text.slice(0, end))]
    assert.deepEqual(after.slice(0, Math.max(0, before.length - 2)), before.slice(0, Math.max(0, before.length - 2)))
  }
})

test('code is coloured when it can be, and carries its buttons', () => {
  const highlight = (code: string, language: string) => (language === 'ts' ? `<b>${code}</b>` : undefined)
  assert.match(
    draw('```ts\nlet a\n```', { highlight })[0]!,
    /<button type="button" data-code="copy">Copy<.*<b>let a<\/b>/,
  )
  assert.match(draw('```odd\n<x>\n```', { highlight })[0]!, /<code data-language="odd">&lt;x&gt;<\/code>/)
})

test('formulas are told from sums of money', () => {
  const typeset = (formula: string, display: boolean) => `[${display ? 'block' : 'line'} ${formula}]`
  const cases: [text: string, html: string][] = [
    ['$x$', '<p>[line x]</p>'],
    ['\\(x\\)', '<p>[line x]</p>'],
    ['a $5 and $6 b', '<p>a $5 and $6 b</p>'],
    ['it costs $5', '<p>it costs $5</p>'],
    ['`$x$`', '<p><code>$x$</code></p>'],
    ['$$\nx\ny\n$$', '<div class="formula" tabindex="0">[block x\ny]</div>'],
    ['\\[\nx\n\\]', '<div class="formula" tabindex="0">[block x]</div>'],
    ['$$open', '<p>$$open</p>'],
    ['$<b>$', '<p>[line <b>]</p>'],
  ]
  for (const [text, html] of cases) assert.deepEqual(draw(text, { typeset }), [html], text)
  // Until the part for formulas is there, their source is shown, escaped.
  assert.deepEqual(draw('$<b>$'), ['<p><code>&lt;b&gt;</code></p>'])
})

test('pictures from elsewhere are links, and dangerous addresses are text', () => {
  assert.deepEqual(draw('![a](http://192.0.2.1/x.png)'), ['<p><a href="http://192.0.2.1/x.png">a</a></p>'])
  assert.match(
    draw('![a](data:image/png;base64,AAAA)')[0]!,
    /^<p><img alt="a" src="data:image\/png;base64,AAAA"><\/p>$/,
  )
  for (const address of [
    'javascript:alert(1)',
    'vbscript:x',
    'data:text/html,x',
    'JaVaScRiPt:x',
    'data:image/svg+xml,x',
  ]) {
    assert.doesNotMatch(draw(`[x](${address}) ![x](${address})`).join(''), /href=|src=/)
  }
})

test('no text makes an element that Markdown does not have', () => {
  const pieces = fc.constantFrom(
    ...[
      '<script>',
      '</script>',
      '<img src=x onerror=y>',
      '```',
      '`',
      '$',
      '$$',
      '\n',
      '\n\n',
      '|',
      '---',
      '"',
      "'",
      '>',
      '[a](',
      ')',
      '![',
      '<',
      '&lt;',
      'x',
      ' ',
      '\\(',
    ],
  )
  fc.assert(
    fc.property(fc.array(pieces, { maxLength: 25 }), parts => {
      // What is text is escaped, so that every bracket opens an element.
      for (const [, name, rest] of draw(parts.join(''))
        .join('\n')
        .matchAll(/<\/?([^\s>/]*)([^>]*)/g)) {
        assert.match(
          name!,
          /^(p|h[1-6]|hr|pre|code|div|span|button|a|table|thead|tbody|tr|th|td|ul|ol|li|em|strong|s|br|blockquote)$/,
        )
        assert.doesNotMatch(rest!, /\son|style=/)
      }
    }),
    { seed: 11, numRuns: 500 },
  )
})

test('parts are loaded only for texts that need them', () => {
  assert.deepEqual(needs('plain'), { code: false, math: false })
  assert.deepEqual(needs('```ts\nx\n```'), { code: true, math: false })
  assert.deepEqual(needs('so $x$'), { code: false, math: true })
})
