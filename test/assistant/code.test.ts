/** Parts of documents: which lines belong together, and how what a model wrote fits in. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { blockAround, fitIn, selectedOrBlock, wholeLines } from '../../server/assistant/code.ts'
import { edited, marked } from '../helpers/scripted_ask.ts'

const blocks: [name: string, text: string, block: string][] = [
  [
    'a function around the cursor, up to its closing line',
    'const a = 1\n\nfunction f() {\n  one()\n  tw▮o()\n}\n\nconst b = 2\n',
    'function f() {\n  one()\n  two()\n}',
  ],
  ['the head of a block takes its body', 'if▮ (x) {\n  y()\n}\nz()\n', 'if (x) {\n  y()\n}'],
  ['if with else', 'i▮f (x) {\n  y()\n} else {\n  w()\n}\nz()\n', 'if (x) {\n  y()\n} else {\n  w()\n}'],
  ['python', 'import os\n\ndef f(a):\n    b = ▮a\n\n    return b\n\nx = 1\n', 'def f(a):\n    b = a\n\n    return b'],
  ['a brace on its own line', 'int f()\n{\n    retu▮rn 1;\n}\nint g;\n', '{\n    return 1;\n}'],
  ['the innermost block', 'f(() => {\n  if (a) {\n    b▮()\n  }\n  c()\n})\n', '  if (a) {\n    b()\n  }'],
  ['tabs', 'func f() {\n\tx▮ := 1\n}\n', 'func f() {\n\tx := 1\n}'],
  ['flat lines: some around', 'a\nb\nc\nd▮\ne\nf\ng\nh\ni\n', 'a\nb\nc\nd\ne\nf\ng'],
  ['an empty file', '▮', ''],
]
for (const [name, text, block] of blocks) {
  test(`block around a place: ${name}`, () => {
    const code = marked(text)
    const { start, end } = blockAround(code.text, code.start)
    assert.equal(code.text.slice(start, end), block)
    // Line ends of Windows change nothing but themselves.
    const windows = marked(text.replaceAll('\n', '\r\n'))
    const other = blockAround(windows.text, windows.start)
    assert.equal(windows.text.slice(other.start, other.end), block.replaceAll('\n', '\r\n'))
  })
}

test('a selection is widened to whole lines, and one that ends at a line start leaves that line out', () => {
  const part = (text: string): string => {
    const code = wholeLines(marked(text))
    return code.text.slice(code.start, code.end)
  }
  assert.equal(part('one\ntw▸o\nth◂ree\nfour'), 'two\nthree')
  assert.equal(part('one\n▸two\n◂three\n'), 'two')
  assert.equal(part('one\r\n▸two\r\n◂three\r\n'), 'two')
  assert.equal(part('😀▸😀◂'), '😀😀')
})

const fits: [name: string, text: string, answer: string, after: string][] = [
  ['as it is', 'a\n▸  old()◂\nb\n', '  fresh()', 'a\n  fresh()\nb\n'],
  ['in a fence', 'a\n▸  old()◂\nb\n', '```ts\n  fresh()\n```', 'a\n  fresh()\nb\n'],
  [
    'without its indentation',
    'if (a) {\n▸  if (b) {\n    c()\n  }◂\n}\n',
    'if (b && d) {\n  c()\n}',
    'if (a) {\n  if (b && d) {\n    c()\n  }\n}\n',
  ],
  ['the first line alone lost it', 'if (a) {\n▸  x()\n  y()◂\n}\n', 'x(1)\n  y(2)', 'if (a) {\n  x(1)\n  y(2)\n}\n'],
  [
    'the first line of a block alone lost it',
    'if (a) {\n▸  if (b) {\n    c()\n  }◂\n}\n',
    'if (d) {\n    c()\n  }',
    'if (a) {\n  if (d) {\n    c()\n  }\n}\n',
  ],
  [
    'python, dedented',
    'class A:\n▸    def f(self):\n        return 1◂\n',
    'def f(self):\n    return 2',
    'class A:\n    def f(self):\n        return 2\n',
  ],
  [
    'python, first line dedented',
    'class A:\n▸    def f(self):\n        return 1◂\n',
    'def f(self):\n        return 2',
    'class A:\n    def f(self):\n        return 2\n',
  ],
  [
    'spaces where the file has tabs',
    'func f() {\n▸\tif a {\n\t\tb()\n\t}◂\n}\n',
    'if c {\n    b()\n}',
    'func f() {\n\tif c {\n\t\tb()\n\t}\n}\n',
  ],
  [
    'tabs where the file has spaces',
    'f {\n▸  if a {\n    b()\n  }◂\n}\n',
    '\tif c {\n\t\tb()\n\t}',
    'f {\n  if c {\n    b()\n  }\n}\n',
  ],
  ['line ends of Windows', 'a\r\n▸old()◂\r\nb\r\n', 'x()\ny()', 'a\r\nx()\r\ny()\r\nb\r\n'],
  ['blank lines around it', 'a\n▸old()◂\nb\n', '\n\nx()\n\n', 'a\nx()\nb\n'],
  [
    'emoji and combining marks',
    '▸const s = "cũ"◂\n',
    'const s = "mới 😀 Tie\u0302\u0301ng"',
    'const s = "mới 😀 Tie\u0302\u0301ng"\n',
  ],
]
for (const [name, text, answer, after] of fits) {
  test(`an answer fits in: ${name}`, () => {
    const code = wholeLines(marked(text))
    assert.equal(edited(code.text, [fitIn(code, answer)]), after)
  })
}

test('an answer that is empty or changes nothing is refused', () => {
  const code = selectedOrBlock(marked('▸  a()\n  b()◂\n'))
  for (const answer of ['', '  \n', '```\n```', 'a()\nb()', '```js\n  a()  \n  b()\n```']) {
    assert.throws(() => fitIn(code, answer), { code: 'unusable_answer' }, answer)
  }
})
