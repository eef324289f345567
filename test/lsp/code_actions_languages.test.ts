/** Code actions over languages, in nested functions and behind attributes: what an editor's file becomes when one is chosen. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { TextDocument, type TextEdit } from 'vscode-languageserver-textdocument'
import { lspServer } from '../helpers/lsp.ts'

const CAPABILITIES = {
  workspace: { workspaceEdit: { documentChanges: true, resourceOperations: ['create'] } },
  textDocument: { codeAction: { dataSupport: true, resolveSupport: { properties: ['edit', 'command'] } } },
}
const ENDINGS: { [language: string]: string } = { python: 'py', go: 'go', rust: 'rs', typescript: 'ts' }

type Action = {
  kind: string
  edit?: { documentChanges?: { textDocument?: { uri: string }; edits?: TextEdit[] }[] }
}

const described = (summary: string, parameters: { [name: string]: string } = {}, returns = '') => ({
  summary,
  parameters: Object.entries(parameters).map(([name, description]) => ({ name, description })),
  returns,
})

const PYTHON = `import functools


class Shop:
    def discount(self, rate):
        @functools.cache
        def of(price: int, /) -> int:
            return price * ra|te

        return of
`
const GO = `package shop

func (s *Shop) Discount(rate int) func(int) int {
	return func(price int) int {
		return price * ra|te
	}
}
`
const RUST = `impl Shop {
    #[inline]
    pub fn discount(&self, rate: u32) -> impl Fn(u32) -> u32 {
        fn scale(price: u32, rate: u32) -> u32 {
            price * ra|te
        }
        move |price| scale(price, rate)
    }
}
`

/** The last is what the file becomes, or in brackets the name of the new file and what it holds; `|` is the cursor, two are a selection. */
const CASES: [kind: string, language: string, text: string, answer: object, after: string | [string, string]][] = [
  [
    'document',
    'python',
    PYTHON,
    described('Scales a price', { price: 'In cents', rate: 'Not taken here' }, 'The new price'),
    PYTHON.replace('|', '').replace(
      '-> int:\n',
      '-> int:\n            """Scales a price.\n\n            Args:\n                price: In cents\n\n            Returns:\n                The new price\n            """\n',
    ),
  ],
  [
    'document',
    'go',
    GO,
    described('Gives what lowers a price', { rate: 'In percent' }, 'A function'),
    GO.replace('|', '').replace('func (s', '// Discount gives what lowers a price.\nfunc (s'),
  ],
  [
    'document',
    'rust',
    RUST.replace('ra|te\n', 'rate\n').replace('#[inline]', '#[in|line]'),
    described('Gives what scales a price', { rate: 'In percent', self: 'The shop' }),
    RUST.replace('ra|te\n', 'rate\n').replace(
      '    #[inline]',
      '    /// Gives what scales a price.\n    ///\n    /// * `rate` - In percent\n    #[inline]',
    ),
  ],
  [
    'document',
    'rust',
    RUST,
    described('Scales a price'),
    RUST.replace('ra|te\n', 'rate\n').replace('        fn scale', '        /// Scales a price.\n        fn scale'),
  ],
  [
    'simplify',
    'python',
    PYTHON,
    { code: '@functools.cache\ndef of(price: int, /) -> int:\n    return rate * price' },
    PYTHON.replace('price * ra|te', 'rate * price'),
  ],
  [
    'simplify',
    'go',
    GO,
    { code: 'return func(price int) int {\n    return rate * price\n}' },
    GO.replace('price * ra|te', 'rate * price'),
  ],
  [
    'simplify',
    'rust',
    RUST,
    { code: '```rust\nfn scale(price: u32, rate: u32) -> u32 {\n    rate * price\n}\n```' },
    RUST.replace('price * ra|te\n', 'rate * price\n'),
  ],
  ['name', 'python', PYTHON, { names: ['percentOff'] }, PYTHON.replace('|', '').replaceAll('rate', 'percent_off')],
  ['name', 'go', GO, { names: ['percent_off'] }, GO.replace('|', '').replaceAll('rate', 'percentOff')],
  [
    'name',
    'rust',
    RUST,
    { names: ['percentOff'] },
    RUST.replace('ra|te\n', 'rate\n').replaceAll('rate', 'percent_off'),
  ],
  [
    'translate',
    'python',
    'def f(x):\n    """Tính tổng\n\n    :param x: số\n    """\n    def g():\n        # Cộng |một\n        # vào số\n        return x + 1  # xong\n    return g\n',
    { translations: ['Adds one to the number'] },
    'def f(x):\n    """Tính tổng\n\n    :param x: số\n    """\n    def g():\n        # Adds one to the number\n        return x + 1  # xong\n    return g\n',
  ],
  [
    'translate',
    'go',
    'func f() {\n\tgo func() {\n\t\t// Đợi |xong\n\t\twait() /* rồi */\n\t}()\n}\n',
    { translations: ['Waits until done'] },
    'func f() {\n\tgo func() {\n\t\t// Waits until done\n\t\twait() /* rồi */\n\t}()\n}\n',
  ],
  [
    'translate',
    'rust',
    "mod a {\n    /// Trả về |tên\n    pub fn name<'a>(x: &'a str) -> &'a str { x } // giữ nguyên\n}\n",
    { translations: ['Gives the name'] },
    "mod a {\n    /// Gives the name\n    pub fn name<'a>(x: &'a str) -> &'a str { x } // giữ nguyên\n}\n",
  ],
  [
    'tests',
    'go',
    GO,
    { code: 'package shop\n\nfunc TestDiscount(t *testing.T) {}\n' },
    ['src/a_test.go', 'package shop\n\nfunc TestDiscount(t *testing.T) {}\n'],
  ],
  [
    'tests',
    'python',
    PYTHON,
    { code: 'def test_discount():\n    assert True\n' },
    ['tests/test_a.py', 'def test_discount():\n    assert True\n'],
  ],
  [
    'tests',
    'rust',
    RUST,
    { code: '#[cfg(test)]\nmod tests {\n    use super::*;\n}\n' },
    `${RUST.replace('ra|te\n', 'rate\n')}\n#[cfg(test)]\nmod tests {\n    use super::*;\n}\n`,
  ],
]

for (const [index, [kind, language, marked, answer, after]] of CASES.entries()) {
  test(`${index}: ${kind} in ${language}`, async context => {
    const { client } = lspServer(context, {
      info: { contextTokens: 20_000 },
      answer: () => ({ deltas: [{ content: JSON.stringify(answer) }] }),
    })
    await client.initialize({ folders: ['file:///code'], more: { capabilities: CAPABILITIES } })
    for (const eol of ['\n', '\r\n']) {
      const uri = `file:///code/src/a.${ENDINGS[language]}`
      const source = marked.replaceAll('\n', eol)
      const offset = source.search(/(?<=\w)\|(?=\w)|(?<= )\|(?=\p{L})/u)
      const text = source.slice(0, offset) + source.slice(offset + 1)
      client.open(uri, text, language)
      const start = TextDocument.create(uri, language, 1, text).positionAt(offset)
      const params = {
        textDocument: { uri },
        range: { start, end: start },
        context: { diagnostics: [], triggerKind: 1 },
      }
      const actions = (await client.request('textDocument/codeAction', params)) as Action[]
      const action = actions.find(each => each.kind.endsWith(kind))
      assert.ok(action, `${kind} is offered`)
      const { edit } = (await client.request('codeAction/resolve', action)) as Action
      const [file, wanted] = typeof after === 'string' ? [uri, after] : [`file:///code/${after[0]}`, after[1]]
      const edits = edit?.documentChanges?.find(({ textDocument }) => textDocument?.uri === file)?.edits
      assert.ok(edits, JSON.stringify([edit, client.received.at(-1)]))
      const made = TextDocument.applyEdits(TextDocument.create(file, language, 1, file === uri ? text : ''), edits)
      assert.equal(made, file === uri ? wanted.replaceAll('\n', eol) : wanted)
      client.notify('textDocument/didClose', { textDocument: { uri } })
    }
  })
}
