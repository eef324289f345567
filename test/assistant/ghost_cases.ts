/** Cases of ghost text: a document with the cursor at `|`, what the model wrote there, and what is shown. */

export type Case = {
  name: string
  /** `|` is the cursor. */
  at: string
  raw: string
  /** Text shown; null for nothing. */
  shows: string | null
  /** Characters behind the cursor that it stands in for. */
  replace?: number
  language?: string
  /** The user asked for it. */
  invoked?: boolean
  /** A limit ended the generation. */
  cut?: boolean
}

export const CASES: Case[] = [
  // One line.
  { name: 'the rest of a statement', at: 'const total = |\n', raw: 'a + b\n', shows: 'a + b' },
  { name: 'a statement ends with its line', at: 'const a = |\nfoo()', raw: '1 + 2\nconst b = 3\n', shows: '1 + 2' },
  { name: 'text behind the cursor keeps to the line', at: 'foo(|, b)', raw: 'a\nbar()', shows: 'a', invoked: true },
  { name: 'no suggestion before other text unasked', at: 'foo| + bar', raw: 'x', shows: null },
  { name: 'no suggestion inside a word unasked', at: 'const na|me = 1', raw: 'x', shows: null },
  { name: 'inside a Vietnamese word', at: 'const tê|n = 1', raw: 'x', shows: null },
  { name: 'a name is finished', at: 'console.lo|', raw: 'g(value)', shows: 'g(value)' },
  { name: 'trailing spaces go', at: 'let x = |', raw: '1   \n', shows: '1' },
  { name: 'a space that stands there already', at: 'let x = |', raw: ' 1', shows: '1' },
  { name: 'a space that is needed', at: 'let x =|', raw: ' 1', shows: ' 1' },
  { name: 'the comment goes on', at: '// adds |\n', raw: 'two numbers\nfunction add() {}', shows: 'two numbers' },
  { name: 'a Vietnamese comment', at: '// Hàm tính |\n', raw: 'tổng của hai số\n', shows: 'tổng của hai số' },
  { name: 'a chained call', at: 'items.|\n', raw: 'map(item => item.id)\n', shows: 'map(item => item.id)' },
  { name: 'a return', at: 'function f(a) {\n  return |\n}', raw: 'a * 2\n}', shows: 'a * 2' },
  { name: 'a type', at: 'function f(a: |', raw: 'number) {\n  return a\n}', shows: 'number) {\n  return a\n}' },
  { name: 'an import', at: "import { join } from '|", raw: "node:path'\nimport x", shows: "node:path'" },
  {
    name: 'python on one line',
    at: 'x = [i for i in |',
    raw: 'range(10)]\ny = 2',
    shows: 'range(10)]',
    language: 'python',
  },
  // Closers that the editor put behind the cursor.
  { name: 'a closing bracket taken over', at: 'foo(|)', raw: 'a, b)', shows: 'a, b)', replace: 1 },
  { name: 'no closing bracket needed', at: 'foo(|)', raw: 'a, b', shows: 'a, b' },
  { name: 'a bracket and a semicolon', at: 'console.log(|);', raw: '"hi");', shows: '"hi");', replace: 2 },
  { name: 'a bracket, the semicolon stays', at: 'console.log(|);', raw: '"hi")', shows: '"hi")', replace: 1 },
  { name: 'a square bracket', at: 'let z = [1, 2|]', raw: ', 3]', shows: ', 3]', replace: 1 },
  { name: 'a brace', at: 'const o = { a|}', raw: ': 1 }', shows: ': 1 }', replace: 1 },
  { name: 'two closers', at: 'foo(bar(|))', raw: '1))', shows: '1))', replace: 2 },
  { name: 'one of two closers', at: 'foo(bar(|))', raw: '1)', shows: '1)', replace: 1 },
  { name: 'closers of another kind stay', at: 'foo([|])', raw: '1, 2]', shows: '1, 2]', replace: 1 },
  { name: 'a quote taken over', at: 'const s = "|"', raw: 'hello"', shows: 'hello"', replace: 1 },
  { name: 'a quote that stays', at: 'const s = "|"', raw: 'hello', shows: 'hello' },
  { name: 'a single quote', at: "const s = '|'", raw: "hello'", shows: "hello'", replace: 1 },
  { name: 'a quote and a bracket', at: 'foo("|")', raw: 'bar")', shows: 'bar")', replace: 2 },
  { name: 'a quote, a bracket and a semicolon', at: 'foo("|");', raw: 'bar");', shows: 'bar");', replace: 3 },
  { name: 'a template string', at: 'const s = `|`', raw: 'a b`', shows: 'a b`', replace: 1 },
  { name: 'nested calls of its own', at: 'foo(|)', raw: 'bar(1), baz(2))', shows: 'bar(1), baz(2))', replace: 1 },
  {
    name: 'an arrow function in the brackets',
    at: 'foo(|)',
    raw: '() => {\n  bar()\n})\nbaz()',
    shows: '() => {\n  bar()\n})',
    replace: 1,
  },
  { name: 'an object in the brackets', at: 'foo({|})', raw: ' a: 1 })', shows: ' a: 1 })', replace: 2 },
  { name: 'a closer that nothing opened', at: 'const a = |', raw: '1)\n', shows: '1' },
  { name: 'a brace too many', at: 'const a = |\n', raw: '1 }\n', shows: '1' },
  {
    name: 'a bracket that was opened lines above',
    at: 'foo(\n  a,\n  |\n)',
    raw: 'b,\n  c\n)\nbar()',
    shows: 'b,\n  c',
  },
  { name: 'only the closer that is there', at: 'foo(a|)', raw: ')', shows: null },
  { name: 'a closer that is missing', at: 'foo(a|\n', raw: ')\n', shows: ')' },
  { name: 'brackets in strings are no brackets', at: 'foo(|)', raw: '")", 1)', shows: '")", 1)', replace: 1 },
  { name: 'an apostrophe in a comment', at: "// don't |\n", raw: 'do this\n', shows: 'do this' },
  {
    name: 'text that ends like the rest of the line',
    at: 'if (|) {',
    raw: 'x > 1) {\n  y()',
    shows: 'x > 1',
    invoked: true,
  },
  { name: 'the rest of the line repeated', at: 'const a = |, b = 2', raw: '1, b = 2', shows: '1', invoked: true },
  { name: 'a string never closed', at: 'foo(|)', raw: 'a, "hel', shows: 'a', cut: true },
  { name: 'a string that was begun and never ends', at: 'const a = "x |', raw: 'and y', shows: null },
  { name: 'a bracket left open for no reason', at: 'const a = |', raw: 'foo(b', shows: null },
  { name: 'a bracket left open where code goes on', at: 'const a = |', raw: 'foo(b,', shows: 'foo(b,' },
  { name: 'a quote in prose', at: 'It is "|', raw: 'so and so', shows: 'so and so', language: 'markdown' },
  { name: 'nothing but a string never closed', at: 'const a = |', raw: '"hello', shows: null },
  // Blocks.
  { name: 'the body of a block', at: 'if (x) {|\n}', raw: '\n  y()\n}\n', shows: '\n  y()' },
  {
    name: 'the body on its own line',
    at: 'function f() {\n  |\n}\n',
    raw: 'return 1\n}\n\nfunction g() {',
    shows: 'return 1',
  },
  {
    name: 'a block to its end',
    at: 'function f(a) |\n',
    raw: '{\n  return a\n}\n\nfunction g() {}',
    shows: '{\n  return a\n}',
  },
  { name: 'lines of one indentation', at: '  a = 1\n  |', raw: 'b = 2\n  c = 3\n', shows: 'b = 2\n  c = 3' },
  { name: 'a blank line ends it', at: '  a = 1\n  |', raw: 'b = 2\n\n  c = 3\n', shows: 'b = 2' },
  {
    name: 'less indentation ends it',
    at: 'def f():\n    |',
    raw: 'return 1\n\ndef g():\n    pass',
    shows: 'return 1',
    language: 'python',
  },
  {
    name: 'a python block',
    at: 'for i in range(3):|',
    raw: '\n    print(i)\nprint("done")',
    shows: '\n    print(i)',
    language: 'python',
  },
  {
    name: 'if with else',
    at: 'if (a) |',
    raw: '{\n  b()\n} else {\n  c()\n}\nd()',
    shows: '{\n  b()\n} else {\n  c()\n}',
  },
  {
    name: 'python if with else',
    at: 'if a:|',
    raw: '\n    b()\nelse:\n    c()\nd()',
    shows: '\n    b()\nelse:\n    c()',
    language: 'python',
  },
  {
    name: 'try with catch',
    at: 'try |',
    raw: '{\n  a()\n} catch (error) {\n  b()\n}\nc()',
    shows: '{\n  a()\n} catch (error) {\n  b()\n}',
  },
  { name: 'an array over lines', at: 'const list = [|', raw: '\n  1,\n  2,\n]\nfoo()', shows: '\n  1,\n  2,\n]' },
  {
    name: 'an array whose bracket is closed',
    at: 'const list = [|]',
    raw: '\n  1,\n  2,\n]\nfoo()',
    shows: '\n  1,\n  2,\n]',
    replace: 1,
  },
  { name: 'an expression goes on', at: 'const a = b &&|', raw: '\n  c\nfoo()', shows: '\n  c' },
  { name: 'a chain goes on', at: 'items\n  .|', raw: 'map(a)\n  .filter(b)\nfoo()', shows: 'map(a)\n  .filter(b)' },
  {
    name: 'a broken-off last line goes',
    at: 'function f() {\n  |\n}',
    raw: 'const a = 1\n  const b = 2\n  cons',
    shows: 'const a = 1\n  const b = 2',
    cut: true,
  },
  {
    name: 'a broken-off only line stays',
    at: 'const name = |',
    raw: 'computeTheName(user, ',
    shows: 'computeTheName(user,',
    cut: true,
  },
  // What stands behind the cursor anyway.
  {
    name: 'the next line again',
    at: 'x.|\nconsole.log(result)',
    raw: 'foo(bar)\nconsole.log(result)',
    shows: 'foo(bar)',
  },
  { name: 'the next lines again', at: '{\n  a()\n  |\n  b()\n  c()\n}', raw: 'x()\n  b()\n  c()\n}', shows: 'x()' },
  { name: 'only the next line', at: 'a()\n|\nb(1, 2)\n', raw: 'b(1, 2)\n', shows: null },
  {
    name: 'a closing brace that stands there',
    at: 'class A {\n  f() {\n    |\n  }\n}',
    raw: 'return 1\n  }\n}',
    shows: 'return 1',
  },
  {
    name: 'a beginning of what follows',
    at: '|\nexport function compute(a: number) {}',
    raw: 'export function compute(a',
    shows: null,
    cut: true,
  },
  {
    name: 'a closing brace of a deeper block than the one that stands there',
    at: 'if (a) {\n  if (b) {|\n}\n',
    raw: '\n    c()\n  }\n}\n',
    shows: '\n    c()\n  }',
  },
  // Circles and nonsense.
  {
    name: 'a line over and over',
    at: 'for (;;) {\n  |\n}',
    raw: 'console.log(a)\n  console.log(a)\n  console.log(a)\n',
    shows: 'console.log(a)',
  },
  {
    name: 'two lines over and over',
    at: '  |',
    raw: 'a(1)\n  b(2)\n  a(1)\n  b(2)\n  a(1)\n  b(2)\n',
    shows: 'a(1)\n  b(2)\n  a(1)\n  b(2)',
  },
  { name: 'a word over and over', at: 'const a = |', raw: 'foo foo foo foo foo foo foo', shows: null },
  { name: 'a character over and over', at: 'const a = |', raw: '----------------------', shows: null },
  { name: 'nothing', at: 'const a = |', raw: '', shows: null },
  { name: 'white space', at: 'const a = |', raw: '  \n  \n', shows: null },
  { name: 'the line above again', at: 'foo(a, b)\n|', raw: 'foo(a, b)\n', shows: null },
  { name: 'a closing brace like the one above is fine', at: 'a {\n  b {\n  }\n|', raw: '}\n', shows: '}' },
  { name: 'a character that could not be decoded', at: 'const a = |', raw: 'x\uFFFD', shows: null },
  // Habits of models and files.
  { name: 'the line so far again', at: 'const total = |', raw: 'const total = a + b', shows: 'a + b' },
  { name: 'the indentation again', at: 'if (x) {\n    |', raw: '    y()\n', shows: 'y()' },
  {
    name: 'tabs in a file of tabs',
    at: 'if (x) {\n\ty()\n\tif (z) {|',
    raw: '\n\t\tw()\n\t}\n',
    shows: '\n\t\tw()\n\t}',
  },
  {
    name: 'spaces where the file has tabs',
    at: 'if (x) {\n\ty()\n}\nif (z) {|',
    raw: '\n    w()\n}\n',
    shows: '\n\tw()\n}',
  },
  {
    name: 'tabs where the file has spaces',
    at: 'if (x) {\n  y()\n}\nif (z) {|',
    raw: '\n\tw()\n}\n',
    shows: '\n  w()\n}',
  },
  { name: 'line ends of Windows', at: 'if (x) {|\r\n}\r\n', raw: '\n  y()\n  z()\n}', shows: '\r\n  y()\r\n  z()' },
  { name: 'a carriage return from the model', at: 'const a = |', raw: '1\r\n', shows: '1' },
  { name: 'an emoji before the cursor', at: 'const s = "😀|"', raw: ' vui"', shows: ' vui"', replace: 1 },
  {
    name: 'combining marks before the cursor',
    at: 'const s = "Tie\u0302\u0301ng |"',
    raw: 'Việt"',
    shows: 'Việt"',
    replace: 1,
  },
  { name: 'html', at: '<div>|</div>', raw: 'Hello</div>', shows: 'Hello', invoked: true, language: 'html' },
  { name: 'a css rule', at: 'a {\n  color: |\n}', raw: 'red;\n}', shows: 'red;', language: 'css' },
  {
    name: 'json',
    at: '{\n  "name": |\n}',
    raw: '"hub",\n  "version": "1"\n}',
    shows: '"hub",\n  "version": "1"',
    language: 'json',
  },
  { name: 'markdown', at: '# Title\n\nThis is |\n', raw: 'a text.\n\n## Next', shows: 'a text.', language: 'markdown' },
  { name: 'an empty file', at: '|', raw: 'import fs from "fs"\n', shows: 'import fs from "fs"' },
]
