/** Code of an answer put into a text: what stays, what goes, and how it is indented. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { goTogether, languageId } from '../../extension/code_language.ts'
import { indentLike, lineChange, placeCode } from '../../extension/placement.ts'

const at = (line: number) => ({ first: line, end: line })

describe('code goes into a text', () => {
  const TEXT = `import { readFileSync } from 'node:fs'

/** Adds. */
export function add(a: number, b: number): number {
  return a
}

export class Cart {
  total(): number {
    return 0
  }

  empty(): void {
    this.items = []
  }
}
`
  test('a function takes the place of the one of its name, with its comment', () => {
    const code = '/** Adds two numbers. */\nexport function add(a: number, b: number): number {\n  return a + b\n}'
    assert.equal(
      placeCode(TEXT, code, at(0)),
      TEXT.replace('/** Adds. */', '/** Adds two numbers. */').replace('return a\n', 'return a + b\n'),
    )
  })
  test('a signature of several lines is one block', () => {
    const text = 'function add(\n  a: number,\n): number {\n  return a\n}\nconst z = 0\n'
    assert.equal(
      placeCode(text, 'function add(a: number): number {\n  return 2 * a\n}', at(5)),
      'function add(a: number): number {\n  return 2 * a\n}\nconst z = 0\n',
    )
  })
  test('a block inside another one is indented as the one before it', () => {
    const text = 'class A:\n    def one(self):\n        return 1\n\n    def two(self):\n        return 2\n'
    assert.equal(
      placeCode(text, 'def one(self):\n    x = 1\n    return x\n', at(0)),
      'class A:\n    def one(self):\n        x = 1\n        return x\n\n    def two(self):\n        return 2\n',
    )
  })
  test('two functions go to their own places, and a third behind them', () => {
    const text = 'def a():\n    return 1\n\ndef b():\n    return 2\n\nprint(a())\n'
    assert.equal(
      placeCode(text, 'def a():\n    return 10\n\ndef b():\n    return 20\n\ndef c():\n    return 30\n', at(6)),
      'def a():\n    return 10\n\ndef b():\n    return 20\n\ndef c():\n    return 30\n\nprint(a())\n',
    )
  })
  test('a whole file takes the place of the whole', () => {
    const code = TEXT.replace('return 0', 'return this.items.length').trimEnd()
    assert.equal(placeCode(TEXT, code, at(0)), `${code}\n`)
  })
  test('a selection is replaced, with its indentation', () => {
    assert.equal(
      placeCode('if x:\n    a()\n    b()\nc()\n', 'for y in x:\n    y()\n', { first: 1, end: 3 }),
      'if x:\n    for y in x:\n        y()\nc()\n',
    )
  })
  test('code that belongs nowhere comes to the cursor', () => {
    assert.equal(placeCode('a = 1\nb = 2\n', 'print(a)', at(1)), 'a = 1\nprint(a)\nb = 2\n')
  })
  test('an empty text becomes the code', () => {
    assert.equal(placeCode('\n', 'a = 1', at(0)), 'a = 1\n')
  })
  test('a name that is there twice is not guessed', () => {
    const text = 'class A {\n  run() {}\n}\nfunction go() {}\nif (x) {\n  function go() {}\n}\nlet q = 1\nlet r = 2\n'
    assert.equal(placeCode(text, 'function go() { return 1 }', at(8)).startsWith(text.slice(0, 80)), true)
  })
  test('C and Go are known by their declarations as well', () => {
    assert.equal(
      placeCode('int one(void)\n{\n  return 2;\n}\nint x;\nint y;\n', 'int one(void) {\n  return 1;\n}', at(4)),
      'int one(void) {\n  return 1;\n}\nint x;\nint y;\n',
    )
    assert.equal(
      placeCode(
        'func (c *Cart) Total() int {\n\treturn 0\n}\nvar a = 1\nvar b = 1\n',
        'func (c *Cart) Total() int {\n\treturn 1\n}',
        at(3),
      ),
      'func (c *Cart) Total() int {\n\treturn 1\n}\nvar a = 1\nvar b = 1\n',
    )
  })
  test('any text and code give a text, and all lines of the code are in it', () => {
    const line = fc.constantFrom(
      'function a() {',
      'def b():',
      '  return 1',
      '}',
      '',
      '// c',
      'class X',
      '\tx',
      'end',
      '{',
    )
    const lines = fc.array(line, { maxLength: 12 }).map(all => all.join('\n'))
    fc.assert(
      fc.property(lines, lines, fc.nat(12), fc.nat(3), (text, code, first, more) => {
        const count = text.split('\n').length
        const made = placeCode(text, code, { first: Math.min(first, count - 1), end: Math.min(first + more, count) })
        for (const each of code.split('\n')) assert.ok(made.includes(each.trim()))
      }),
      { seed: 3, numRuns: 1000 },
    )
  })
})

test('code at a cursor in an empty line is indented as the cursor is', () => {
  assert.equal(indentLike('if (a) {\n  b()\n}', '    '), 'if (a) {\n      b()\n    }')
  assert.equal(indentLike('  a\n  b', '\t'), 'a\n\tb')
  assert.equal(indentLike('a\nb', 'const x = '), 'a\nb')
})

test('the lines that differ are the least that has to be changed', () => {
  assert.deepEqual(lineChange('a\nb\nc\n', 'a\nB\nc\n'), { first: 1, end: 2, text: 'B\n' })
  assert.deepEqual(lineChange('a\nc\n', 'a\nb\nc\n'), { first: 1, end: 1, text: 'b\n' })
  const lines = fc.array(fc.constantFrom('a', 'b', ''), { maxLength: 8 }).map(all => all.join('\n'))
  fc.assert(
    fc.property(lines, lines, (before, after) => {
      const { first, end, text } = lineChange(before, after)
      const old = before.split('\n')
      const start = old.slice(0, first).map(line => `${line}\n`)
      const rest = old.slice(end)
      assert.equal(start.join('') + text + rest.join('\n'), after)
    }),
    { seed: 5, numRuns: 2000 },
  )
})

test('languages as people write them are those of the editor', () => {
  const known = ['typescript', 'python', 'shellscript', 'plaintext', 'cpp', 'javascriptreact']
  for (const [name, id] of [
    ['ts', 'typescript'],
    ['TypeScript', 'typescript'],
    ['py', 'python'],
    ['bash', 'shellscript'],
    ['c++', 'cpp'],
    ['jsx', 'javascriptreact'],
    ['klingon', 'plaintext'],
    ['', 'plaintext'],
  ] as const) {
    assert.equal(languageId(name, known), id)
  }
  assert.ok(goTogether('javascript', 'typescript'))
  assert.ok(goTogether('plaintext', 'python'))
  assert.ok(!goTogether('shellscript', 'typescript'))
})
