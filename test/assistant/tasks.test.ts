/** The tasks of the assistant over scripted models: text and answer in, text out. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { selectedOrBlock } from '../../server/assistant/code.ts'
import { branchName, commitMessage } from '../../server/assistant/commit.ts'
import { document } from '../../server/assistant/document.ts'
import { explain } from '../../server/assistant/explain.ts'
import { fix } from '../../server/assistant/fix.ts'
import { betterNames, identifierAt, placesOf } from '../../server/assistant/name.ts'
import { answerQuestion } from '../../server/assistant/question.ts'
import { instructionIn, rewrite } from '../../server/assistant/rewrite.ts'
import { simplify } from '../../server/assistant/simplify.ts'
import { explainTerminal } from '../../server/assistant/terminal.ts'
import { testPathOf } from '../../server/assistant/test_path.ts'
import { translate, translationOf } from '../../server/assistant/translate.ts'
import { writeTests } from '../../server/assistant/write_tests.ts'
import { edited, marked, scriptedAsk } from '../helpers/scripted_ask.ts'

const signal = new AbortController().signal

test('fix: the block is replaced, and the model is told the problem and its line', async () => {
  const code = marked('function f(a: string) {\n  return ▸a.lenght◂\n}\n\nf("x")\n')
  const { ask, told } = scriptedAsk([{ code: 'function f(a: string) {\n  return a.length\n}', import: '' }])
  const problem = "ts 2551: Property 'lenght' does not exist on type 'string'."
  assert.equal(
    edited(code.text, await fix(ask, code, problem, signal)),
    'function f(a: string) {\n  return a.length\n}\n\nf("x")\n',
  )
  assert.match(told()[0]!, /`return a\.lenght`:\nts 2551: Property/)
})

const imports: [name: string, before: string, line: string, after: string, path?: string][] = [
  [
    'into the script of a Vue file',
    '<template>\n  <p>a</p>\n</template>\n<script setup lang="ts">\n  import a from "a"\n  c▮()\n</script>\n',
    'import c from "c"',
    '<template>\n  <p>a</p>\n</template>\n<script setup lang="ts">\n  import a from "a"\n  import c from "c"\n  c()\n</script>\n',
    'src/a.vue',
  ],
  [
    'nowhere in a page without a script',
    '<template>\n  {{ c▮ }}\n</template>\n',
    'import c from "c"',
    '<template>\n  {{ c }}\n</template>\n',
    'src/a.svelte',
  ],
  ['behind a directive', "'use client'\n\nc▮()\n", "import c from 'c'", "'use client'\nimport c from 'c'\n\nc()\n"],
  [
    'behind the docstring of a module',
    '#!/usr/bin/python\n# -*- coding: utf-8 -*-\n"""Says what\nit does."""\n\nc▮()\n',
    'import c',
    '#!/usr/bin/python\n# -*- coding: utf-8 -*-\n"""Says what\nit does."""\nimport c\n\nc()\n',
    'a.py',
  ],
  [
    'behind the package of Java',
    'package a.b;\n\nclass A { List▮ x; }\n',
    'import java.util.List;',
    'package a.b;\nimport java.util.List;\n\nclass A { List x; }\n',
    'A.java',
  ],
  [
    'behind a block of Go',
    'package a\n\nimport (\n\t"os"\n)\n\nfunc f() { fmt▮.P() }\n',
    'import "fmt"',
    'package a\n\nimport (\n\t"os"\n)\nimport "fmt"\n\nfunc f() { fmt.P() }\n',
    'a.go',
  ],
  [
    'behind the others',
    "import a from 'a'\nimport {\n  b,\n} from 'b'\n\nc▮()\n",
    "import c from 'c'",
    "import a from 'a'\nimport {\n  b,\n} from 'b'\nimport c from 'c'\n\nc()\n",
  ],
  ['at the top', 'c▮()\n', "import c from 'c'", "import c from 'c'\nc()\n"],
  [
    'behind a shebang',
    '#!/usr/bin/env node\nc▮()\n',
    "const c = require('c')",
    "#!/usr/bin/env node\nconst c = require('c')\nc()\n",
  ],
  ['with line ends of Windows', 'import os\r\nc▮()\r\n', 'import c', 'import os\r\nimport c\r\nc()\r\n'],
]
for (const [name, before, line, after, path] of imports) {
  test(`fix: a missing import goes ${name}`, async () => {
    const code = marked(before, undefined, path)
    // The code itself stays.
    const { start, end } = selectedOrBlock(code)
    const { ask } = scriptedAsk([{ code: code.text.slice(start, end), import: line }])
    const edits = await fix(ask, code, 'c is not defined', signal).catch((thrown: { code?: string }) => {
      // Nothing is left to change where the import has no place.
      assert.equal(thrown.code, 'unusable_answer')
      return []
    })
    assert.equal(edited(code.text, edits), after)
  })
}

test('fix: an import never lands in the middle of what is replaced', async () => {
  const near = marked("#!node\nimport a from 'a'\nc▮()\n")
  const far = marked(`import {\n${'  a,\n'.repeat(9)}} from 'a'\nc▮()\n`)
  const cases = [
    [near, "#!node\nimport a from 'a'\nimport c from 'c'\nc(1)\n"],
    [far, `import c from 'c'\n${far.text.replace('c()', 'c(1)')}`],
  ] as const
  for (const [code, after] of cases) {
    const { start, end } = selectedOrBlock(code)
    const changed = code.text.slice(start, end).replace('c()', 'c(1)')
    const { ask } = scriptedAsk([{ code: changed, import: "import c from 'c'" }])
    assert.equal(edited(code.text, await fix(ask, code, 'c is not defined', signal)), after)
  }
})

test('fix: what changes nothing, or imports prose, is refused', async () => {
  const code = marked('a▮()\n')
  for (const answer of [
    { code: 'a()', import: '' },
    { code: 'a(1)', import: 'add an import' },
    { code: '', import: '' },
    'x',
  ]) {
    await assert.rejects(fix(scriptedAsk([answer]).ask, code, 'wrong', signal), { code: 'unusable_answer' })
  }
})

test('rewrite and simplify replace the selected lines', async () => {
  const code = marked('a\n▸  b()\n  c()◂\nd\n')
  const { ask, told } = scriptedAsk([{ code: '  bc()' }])
  assert.equal(edited(code.text, await rewrite(ask, code, 'use bc', signal)), 'a\n  bc()\nd\n')
  assert.match(told()[0]!, /Instruction: use bc/)
  assert.equal(edited(code.text, await simplify(ask, code, signal)), 'a\n  bc()\nd\n')
})

test('rewrite: a comment may say what is wanted', () => {
  const cases: [lines: string, instruction: string | undefined][] = [
    ['  // AI: use a map', 'use a map'],
    ['x()\n# todo: handle empty input\n', 'handle empty input'],
    ['/* ai: đổi sang async */', 'đổi sang async'],
    ['<!-- AI: shorter -->', 'shorter'],
    ['const ai = 1', undefined],
    ['// said: nothing', undefined],
  ]
  for (const [lines, instruction] of cases) assert.equal(instructionIn(lines), instruction, lines)
})

const FULL = {
  summary: 'Adds two numbers',
  parameters: [
    { name: 'a', description: 'The first.' },
    { name: 'ghost', description: 'Not there.' },
    { name: 'a', description: 'Twice.' },
  ],
  returns: 'The sum.',
}
const SHORT = { summary: 'Adds.', parameters: [], returns: 'None' }
const docs: [name: string, language: string, before: string, answer: object, after: string][] = [
  [
    'JSDoc',
    'typescript',
    'export function add(a: number, b: number) {▮\n  return a + b\n}\n',
    FULL,
    '/**\n * Adds two numbers.\n *\n * @param a The first.\n * @returns The sum.\n */\nexport function add(a: number, b: number) {\n  return a + b\n}\n',
  ],
  [
    'one line of JSDoc, from inside the body',
    'javascript',
    'class A {\n  add(a) {\n    return ▮a\n  }\n}\n',
    SHORT,
    'class A {\n  /** Adds. */\n  add(a) {\n    return a\n  }\n}\n',
  ],
  [
    'JSDoc over an old one',
    'typescript',
    '/** Old. */\nconst ▮add = (a) => a\n',
    SHORT,
    '/** Adds. */\nconst add = (a) => a\n',
  ],
  [
    'a Python docstring',
    'python',
    'def add(a, b):▮\n    return a + b\n',
    FULL,
    'def add(a, b):\n    """Adds two numbers.\n\n    Args:\n        a: The first.\n\n    Returns:\n        The sum.\n    """\n    return a + b\n',
  ],
  [
    'a Python docstring over an old one',
    'python',
    'class A:\n    def add(self, a):\n        """Old\n        one."""\n        return ▮a\n',
    SHORT,
    'class A:\n    def add(self, a):\n        """Adds."""\n        return a\n',
  ],
  [
    'Python with a signature of several lines',
    'python',
    'def add(\n    a,\n    b,\n):▮\n    return a\n',
    SHORT,
    'def add(\n    a,\n    b,\n):\n    """Adds."""\n    return a\n',
  ],
  [
    'Rust above attributes',
    'rust',
    '#[inline]\npub fn add(a: u8) -> u8 {▮\n    a\n}\n',
    FULL,
    '/// Adds two numbers.\n///\n/// * `a` - The first.\n/// Returns: The sum.\n#[inline]\npub fn add(a: u8) -> u8 {\n    a\n}\n',
  ],
  [
    'Go, beginning with the name',
    'go',
    'func (s *S) Add(a int) int {▮\n\treturn a\n}\n',
    FULL,
    '// Add adds two numbers.\nfunc (s *S) Add(a int) int {\n\treturn a\n}\n',
  ],
  [
    'Java above annotations',
    'java',
    'class A {\n    @Override\n    public int add(int a) {▮\n        return a;\n    }\n}\n',
    FULL,
    'class A {\n    /**\n     * Adds two numbers.\n     *\n     * @param a The first.\n     * @return The sum.\n     */\n    @Override\n    public int add(int a) {\n        return a;\n    }\n}\n',
  ],
  [
    'C#',
    'csharp',
    'public int Add(int a)▮\n{\n    return a;\n}\n',
    { ...FULL, summary: 'Adds a < b' },
    '/// <summary>\n/// Adds a &lt; b.\n/// </summary>\n/// <param name="a">The first.</param>\n/// <returns>The sum.</returns>\npublic int Add(int a)\n{\n    return a;\n}\n',
  ],
  [
    'Windows line ends',
    'typescript',
    'let x = 1\r\nfunction add(a) {▮\r\n  return a\r\n}\r\n',
    SHORT,
    'let x = 1\r\n/** Adds. */\r\nfunction add(a) {\r\n  return a\r\n}\r\n',
  ],
  [
    'text that would end the comment',
    'typescript',
    'function add(a) {▮\n}\n',
    { ...SHORT, summary: 'Matches **/ and\n more' },
    '/** Matches ** / and more. */\nfunction add(a) {\n}\n',
  ],
  ['a shell function', 'shellscript', 'add() {▮\n  echo $1\n}\n', SHORT, '# Adds.\nadd() {\n  echo $1\n}\n'],
]
for (const [name, language, before, answer, after] of docs) {
  test(`document: ${name}`, async () => {
    const code = marked(before, language)
    assert.equal(edited(code.text, await document(scriptedAsk([answer]).ask, code, signal)), after)
  })
}

test('document: in Vietnamese where the file speaks it, and only where something is declared', async () => {
  const { ask, told } = scriptedAsk([SHORT])
  await document(ask, marked('// Cộng hai số\nfunction cong(a, b) {▮\n}\n'), signal)
  assert.match(told()[0]!, /Vietnamese/)
  await assert.rejects(document(ask, marked('add(1, ▮2)\n'), signal), { code: 'invalid_request' })
  await assert.rejects(document(scriptedAsk([{ ...SHORT, summary: ' ' }]).ask, marked('function f() {▮}\n'), signal), {
    code: 'unusable_answer',
  })
})

test('name: free names in the style of the old one, and every place of it', async () => {
  const code = marked('const fo▮o = 1\nconst total = foo + 1 // foo stays\nprint("foo", foo2, foo)\n')
  const names = ['foo', 'first_number', 'total', 'const', 'firstNumber', 'count']
  const { ask } = scriptedAsk([{ names: names.slice(0, 5) }])
  const found = await betterNames(ask, code, signal)
  assert.deepEqual(found.names, ['firstNumber'])
  const edits = placesOf(code.text, 'typescript', 'foo').map(place => ({ ...place, text: 'n' }))
  assert.equal(edited(code.text, edits), 'const n = 1\nconst total = n + 1 // foo stays\nprint("foo", foo2, n)\n')
})

test('name: snake, Pascal and screaming case stay; keywords, numbers, strings and comments have no name', async () => {
  const styled: [old: string, given: string, wanted: string][] = [
    ['my_sum', 'totalAmount', 'total_amount'],
    ['MySum', 'total_amount', 'TotalAmount'],
    ['MY_SUM', 'totalAmount', 'TOTAL_AMOUNT'],
    ['mySum', 'total_amount', 'totalAmount'],
  ]
  for (const [old, given, wanted] of styled) {
    const { names } = await betterNames(
      scriptedAsk([{ names: [given] }]).ask,
      marked(`▮${old} = 1\n`, 'python'),
      signal,
    )
    assert.deepEqual(names, [wanted])
  }
  for (const text of ['ret▮urn 1', '4▮2', '"a▮b"', '// a▮b', ' ▮ '])
    assert.equal(identifierAt(marked(text)), undefined, text)
  await assert.rejects(betterNames(scriptedAsk([{ names: ['x1'] }]).ask, marked('x▮1 = 1'), signal), {
    code: 'unusable_answer',
  })
})

const translations: [name: string, language: string, before: string, answers: string[], after: string][] = [
  ['a line', 'typescript', '▸a() // Cộng hai số.◂\n', ['Adds two numbers.'], 'a() // Adds two numbers.\n'],
  [
    'lines that are one text',
    'typescript',
    '▸// Hàm này cộng hai số\n// rồi trả về kết quả.◂\nf()\n',
    ['This adds two numbers and returns the result.'],
    '// This adds two numbers and returns the\n// result.\nf()\n',
  ],
  [
    'a doc comment with tags',
    'typescript',
    '▸/**\n * Cộng hai số.\n *\n * @param a số đầu tiên\n * @returns tổng của chúng\n */◂\nf()\n',
    ['Adds two numbers.', 'the first number', 'their sum'],
    '/**\n * Adds two numbers.\n *\n * @param a the first number\n * @returns their sum\n */\nf()\n',
  ],
  [
    'Python, into Vietnamese',
    'python',
    '▸# Adds numbers.\nx = "# no comment"\ndef f():\n    """Does it."""◂\n',
    ['Cộng các số.', 'Làm việc đó.'],
    '# Cộng các số.\nx = "# no comment"\ndef f():\n    """Làm việc đó."""\n',
  ],
  [
    'directives and switched off code stay',
    'typescript',
    '▸// eslint-disable-next-line\n// Giá trị đầu.\n// const a = 1;◂\n',
    ['The first value.'],
    '// eslint-disable-next-line\n// The first value.\n// const a = 1;\n',
  ],
  ['one that would end the comment', 'css', '▸/* Màu nền */◂\n', ['Colour */ of it'], '/* Colour * / of it */\n'],
]
for (const [name, language, before, answers, after] of translations) {
  test(`translate: ${name}`, async () => {
    const code = marked(before, language)
    const { ask } = scriptedAsk([{ translations: answers }])
    assert.equal(edited(code.text, await translate(ask, code, signal)), after)
  })
}

test('translate: into the other language; nothing where there are no comments or too few answers', async () => {
  assert.equal(translationOf(marked('▸// Xin chào các bạn, đây là◂')), 'en')
  assert.equal(translationOf(marked('▸// Hello there◂')), 'vi')
  assert.equal(translationOf(marked('▸hello("// no")◂')), undefined)
  const code = marked('▸// Một hai ba, đây\nx()\n// Bốn năm sáu, đó◂\n')
  await assert.rejects(translate(scriptedAsk([{ translations: ['One'] }]).ask, code, signal), {
    code: 'unusable_answer',
  })
})

const paths: [path: string, files: string[], tests: string | undefined][] = [
  ['src/a.ts', [], 'src/a.test.ts'],
  ['src/a.ts', ['src/b.ts', 'src/b.spec.ts'], 'src/a.spec.ts'],
  ['src/a.ts', ['src/b.ts', 'src/__tests__/b.test.ts'], 'src/__tests__/a.test.ts'],
  ['src/x/a.ts', ['src/y/b.ts', 'test/y/b.test.ts'], 'test/x/a.test.ts'],
  ['server/x/a.ts', ['server/y/b.ts', 'test/y/b.test.ts'], 'test/server/x/a.test.ts'],
  ['src/a.ts', ['test/a.test.ts'], 'test/a.test.ts'],
  ['src/a.test.ts', [], undefined],
  ['pkg/a.py', [], 'tests/pkg/test_a.py'],
  ['pkg/a.py', ['pkg/b.py', 'pkg/test_b.py'], 'pkg/test_a.py'],
  ['pkg/a.py', ['pkg/b.py', 'tests/test_b.py'], 'tests/test_a.py'],
  ['a.go', [], 'a_test.go'],
  ['src/lib.rs', [], 'src/lib.rs'],
  ['src/main/java/x/A.java', [], 'src/test/java/x/ATest.java'],
  ['lib/a.rb', [], 'spec/a_spec.rb'],
  ['notes.txt', [], undefined],
]
for (const [path, files, wanted] of paths) {
  test(`tests of ${path}${files.length > 0 ? ` beside ${files.at(-1)}` : ''} go into ${wanted}`, () => {
    assert.equal(testPathOf(path, files), wanted)
  })
}

test('tests: a new file, an old one without what it has, and the end of a Rust file', async () => {
  const code = marked('export function f() {▮\n  return 1\n}\n')
  const written = "import { test } from 'node:test'\n\ntest('f', () => f() === 1)"
  const fresh = scriptedAsk([{ code: `\`\`\`ts\n${written}\n\`\`\`` }])
  const made = await writeTests(fresh.ask, code, { path: 'test/a.test.ts', example: 'AN EXAMPLE' }, signal)
  assert.deepEqual(made, { start: 0, end: 0, text: `${written}\n` })
  assert.match(fresh.told()[0]!, /AN EXAMPLE[\s\S]*from '\.\.\/src\/a\.ts'/)
  const old = "import { test } from 'node:test'\r\n\r\ntest('g', () => {})\r\n"
  const more = await writeTests(fresh.ask, code, { path: 'test/a.test.ts', text: old }, signal)
  assert.equal(edited(old, [more]), `${old}\r\ntest('f', () => f() === 1)\r\n`)
  const rust = marked('fn f() {▮}\n', 'rust', 'src/lib.rs')
  const module = '#[cfg(test)]\nmod tests { use super::*; }'
  const end = await writeTests(scriptedAsk([{ code: module }]).ask, rust, { path: 'src/lib.rs' }, signal)
  assert.equal(edited(rust.text, [end]), `fn f() {}\n\n${module}\n`)
  await assert.rejects(writeTests(scriptedAsk([{ code: 'no' }]).ask, code, { path: 'x.ts' }, signal), {
    code: 'unusable_answer',
  })
})

const STAGED = { diff: '+a', summary: 'M\ta.ts', subjects: ['Add b'] }

test('commit: one line and a wrapped reason', async () => {
  const body = 'Because small models like to write very long lines that nobody wants to read in a terminal.'
  const { ask, told } = scriptedAsk([{ subject: 'Add the sum.\nmore', body }])
  assert.equal(
    await commitMessage(ask, STAGED, signal),
    'Add the sum\n\nBecause small models like to write very long lines that nobody wants to\nread in a terminal.',
  )
  assert.match(told()[0]!, /Add b[\s\S]*M\ta\.ts[\s\S]*\+a/)
  assert.equal(await commitMessage(scriptedAsk([{ subject: 'Add x', body: 'add x.' }]).ask, STAGED, signal), 'Add x')
  const long = await commitMessage(scriptedAsk([{ subject: 'word '.repeat(19), body: '' }]).ask, STAGED, signal)
  assert.ok(long.length <= 72 && long.endsWith('word'))
  await assert.rejects(commitMessage(ask, { diff: '', summary: ' ', subjects: [] }, signal), /Nothing is staged/)
})

test('branch: letters, digits and hyphens only', async () => {
  const cases: [words: string, name: string][] = [
    ['Empty Home folder!', 'fix/empty-home-folder'],
    ['fix-đăng-nhập', 'fix/dang-nhap'],
    ['a--b__c d e f g h', 'fix/a-b-c-d-e-f'],
  ]
  for (const [words, name] of cases) {
    assert.equal(await branchName(scriptedAsk([{ kind: 'fix', words }]).ask, STAGED, signal), name)
  }
  await assert.rejects(branchName(scriptedAsk([{ kind: 'fix', words: '...!' }]).ask, STAGED, signal), {
    code: 'unusable_answer',
  })
})

test('terminal: the end of the output as it was seen', async () => {
  const { ask, told } = scriptedAsk(['Install it.'])
  const text = `${'old\n'.repeat(20_000)}\u001b[31m10%\r20%\rError:\u001b[0m no module\r\n`
  assert.equal(await explainTerminal(ask, { text, prose: 'vi' }, signal), 'Install it.')
  assert.match(told()[0]!, /Vietnamese[\s\S]*\nError: no module\n```/)
  await assert.rejects(explainTerminal(ask, { text: ' \u001b[0m\n', prose: 'en' }, signal), { code: 'invalid_request' })
})

test('explain and ask: the selection, the problems, the question', async () => {
  const code = marked('a\n▸b()◂\nc\n')
  const { ask, told } = scriptedAsk(['It calls b.'])
  assert.equal(await explain(ask, code, { problems: ['ts 1: no'], prose: 'en' }, signal), 'It calls b.')
  assert.equal(await answerQuestion(ask, code, { question: 'Why?', prose: 'vi' }, signal), 'It calls b.')
  assert.match(told()[0]!, /Part to explain:\n```typescript\nb\(\)\n```\n[\s\S]*- ts 1: no/)
  assert.match(told()[1]!, /Vietnamese[\s\S]*Question: Why\?/)
})

test('in a Vue file comments of script and markup are translated, and a function is documented', async () => {
  const page =
    '<template>\n  <!-- Nút bấm -->\n  <p>a</p>\n</template>\n<script>\n// Cộng lại\nfunction add(a, b) {\n  return a + b\n}\n</script>\n'
  const whole = { ...marked(page.replace('<p>', '▮<p>'), 'vue', 'a.vue'), start: 0, end: page.length }
  const { ask } = scriptedAsk([{ translations: ['Button', 'Adds up'] }])
  const translated = edited(page, await translate(ask, whole, signal))
  assert.equal(translated, page.replace('Nút bấm', 'Button').replace('Cộng lại', 'Adds up'))
  const code = marked(page.replace('// Cộng lại\n', '').replace('add(', 'ad▮d('), 'vue', 'a.vue')
  const documented = scriptedAsk([{ summary: 'Adds.', parameters: [], returns: '' }])
  assert.match(
    edited(code.text, await document(documented.ask, code, signal)),
    /<script>\n\/\*\* Adds\. \*\/\nfunction add/,
  )
})
