/** Markdown of the pages: what it draws, and what it never lets through, before the browser's own gate. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { type Block, createDrawer, type Extras, readFence } from '../../webview/chat/markdown.ts'

const WORDS = { copy: 'Copy' }
const textOf = (block: Block): string => ('html' in block ? block.html.trim() : JSON.stringify(block))
const draw = (text: string, extras: Extras = {}): string[] => createDrawer(extras, WORDS).draw(text).map(textOf)

test('a text is drawn in blocks, code that stands by itself among them', () => {
  assert.deepEqual(createDrawer({}, WORDS).draw('# Title\n\none **two**\n\n- a\n- b\n\n```js\nlet a\n'), [
    { html: '<h1>Title</h1>\n' },
    { html: '<p>one <strong>two</strong></p>\n' },
    { html: '<ul>\n<li>a</li>\n<li>b</li>\n</ul>\n' },
    { code: 'let a', language: 'js', closed: false },
  ])
  assert.deepEqual(createDrawer({}, WORDS).draw('~~~~ py x\na\n~~~\n~~~~~'), [
    { code: 'a\n~~~', language: 'py', closed: true },
  ])
  assert.deepEqual(createDrawer({}, WORDS).draw('```'), [{ code: '', language: '', closed: false }])
})

test('a text that grows is drawn as it would be at once, wherever its pieces break', () => {
  const pieces = fc.constantFrom(
    ...[
      'a',
      'b c',
      '\n',
      '\n',
      '\n\n',
      '\n\n',
      '- ',
      '* ',
      '*',
      '1',
      '1.',
      '2. ',
      '  ',
      '    ',
      '> ',
      '#',
      '# ',
      '```',
      '`',
      '~~~',
    ],
    ...[
      '$$',
      '$',
      '\\[',
      '\\]',
      '|',
      '|---|',
      '| x |',
      '---',
      '===',
      '[a]',
      '[a]: b',
      '**',
      '_',
      '\\',
      '\r',
      '\t',
      '<b>',
      '&amp;',
    ],
  )
  fc.assert(
    fc.property(fc.array(pieces, { maxLength: 40 }), parts => {
      const { draw: grow } = createDrawer({}, WORDS)
      let text = ''
      for (const part of parts) {
        text += part
        assert.deepEqual(grow(text).map(textOf), draw(text), JSON.stringify(text))
      }
      // Another text begins anew.
      assert.deepEqual(grow('b').map(textOf), draw('b'))
    }),
    { seed: 7, numRuns: 3000 },
  )
})

test('a token costs what its block costs, however long the text before it is', () => {
  const section = (index: number): string =>
    `## Part ${index}\n\nThe sum of $x_{${index}}$.\n\n- \`\`\`ts\n  let a${index}\n  \`\`\`\n\n| a |\n|---|\n| $y_{${index}}$ |\n\n`
  let worked = 0
  const count = (text: string): string => {
    worked++
    return text
  }
  /** How often formulas and code are worked out while the last section comes, a letter at a time. */
  const work = (sections: number): number => {
    const { draw: grow } = createDrawer({ highlight: count, typeset: count }, WORDS)
    const before = Array.from({ length: sections }, (_, index) => section(index)).join('')
    const kept = grow(before)
    worked = 0
    const last = section(999)
    for (let end = 1; end <= last.length; end++) {
      const blocks = grow(before + last.slice(0, end))
      // Not drawn again: they are the same. The last table stands behind a list, which it might belong to.
      for (let index = 0; index < kept.length - 2; index++) assert.equal(blocks[index], kept[index])
    }
    return worked
  }
  assert.equal(work(1000), work(2))
})

test('code is coloured when it can be, and carries its buttons', () => {
  const highlight = (code: string, language: string) => (language === 'ts' ? `<b>${code}</b>` : undefined)
  assert.match(
    draw('- ```ts\n  let a\n  ```', { highlight })[0]!,
    /<button type="button" data-code="copy">Copy<.*<b>let a<\/b>/,
  )
  assert.match(draw('> ```odd\n> <x>\n> ```', { highlight })[0]!, /<code data-language="odd">&lt;x&gt;<\/code>/)
})

test('a block of code may name its file, beside its language or in a comment of its first line', () => {
  const cases: [info: string, code: string, file: string | undefined][] = [
    ['ts', 'let a', undefined],
    ['ts src/a.ts', 'let a', 'src/a.ts'],
    ['ts:src/a.ts', 'let a', 'src/a.ts'],
    ['ts title="src/a.ts"', 'let a', 'src/a.ts'],
    ['python', '# app/main.py\nx = 1', 'app/main.py'],
    ['html', '<!-- index.html -->\n<p>', 'index.html'],
    ['ts', '// file: src\\a.ts\nlet a', 'src\\a.ts'],
    ['ts', '// adds two numbers', undefined],
    ['ts', '// e.g. this', undefined],
    ['bash', 'cat a.txt', undefined],
    ['', '', undefined],
  ]
  for (const [info, code, file] of cases) assert.equal(readFence(info, code).file, file, `${info} | ${code}`)
  assert.equal(readFence('ts:src/a.ts', '').language, 'ts')
  assert.equal(readFence('c++ x', '').language, 'c++')
  assert.deepEqual(createDrawer({}, WORDS).draw('```ts src/a.ts\nlet a\n```'), [
    { code: 'let a', language: 'ts', file: 'src/a.ts', closed: true },
  ])
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

test('columns of a table are aligned without a style', () => {
  assert.equal(
    draw('| a | b | c |\n|:--|--:|:-:|\n| 1 | 2 | 3 |')[0]!.replace(/\s*\n\s*/g, ''),
    '<div class="table" tabindex="0"><table><thead><tr><th>a</th><th class="right">b</th><th class="center">c</th></tr></thead>' +
      '<tbody><tr><td>1</td><td class="right">2</td><td class="center">3</td></tr></tbody></table></div>',
  )
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
      const blocks = createDrawer({}, WORDS).draw(parts.join(''))
      const html = blocks.map(block => ('html' in block ? block.html : '')).join('\n')
      for (const [, name, rest] of html.matchAll(/<\/?([^\s>/]*)([^>]*)/g)) {
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
  const wants = (text: string, extras: Extras = {}): object => {
    const drawer = createDrawer(extras, WORDS)
    drawer.draw(text)
    return drawer.wants
  }
  assert.deepEqual(wants('plain, $5 and ``` of it'), { code: false, math: false })
  assert.deepEqual(wants('```\nno language\n```'), { code: false, math: false })
  assert.deepEqual(wants('```ts\nx\n```'), { code: true, math: false })
  assert.deepEqual(wants('- ```ts\n  x\n  ```'), { code: true, math: false })
  assert.deepEqual(wants('so $x$'), { code: false, math: true })
  assert.deepEqual(wants('so $x$', { typeset: () => '' }), { code: false, math: false })
})

test('hostile lengths take a time that grows with the text only', () => {
  // Each of them was, or would be, quadratic with a careless expression; a hundred thousand of them then take minutes.
  const many = 20_000
  for (const text of [
    '\n'.repeat(many * 5),
    '$'.repeat(many),
    '$ '.repeat(many),
    '\\( '.repeat(many),
    '$$ '.repeat(many),
    '$$\n'.repeat(many),
    '\\[\n'.repeat(many),
    '> '.repeat(many),
    '- '.repeat(many),
    '`'.repeat(many),
    '* '.repeat(many),
    '['.repeat(many),
    '![]('.repeat(many),
    `| ${'a | '.repeat(many)}\n|${'---|'.repeat(many)}\n`,
    'x'.repeat(many * 10),
  ]) {
    assert.ok(Array.isArray(draw(text)))
  }
})
