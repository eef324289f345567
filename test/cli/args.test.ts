/** The command line: what is typed becomes one command, and what is mistyped is told from what was meant. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { helpText, nearest, optionName, parseCommandLine, UsageError } from '../../server/cli/args.ts'

const SETTINGS = [
  { name: 'port', description: 'TCP port' },
  { name: 'contextTokens', description: 'context of a model' },
  { name: 'home', description: 'not as a setting' },
]
const parse = (line: string) => parseCommandLine(line === '' ? [] : line.split(' '), SETTINGS)
const complaint = (line: string): string => {
  try {
    parse(line)
  } catch (error) {
    assert.ok(error instanceof UsageError)
    return error.message
  }
  assert.fail(`"${line}" was taken`)
}

test('commands and their options', () => {
  assert.deepEqual(parse('serve'), { name: 'serve', settings: {} })
  assert.deepEqual(parse('serve --home here --port 9 --context-tokens=4096'), {
    name: 'serve',
    home: 'here',
    settings: { port: '9', contextTokens: '4096' },
  })
  assert.deepEqual(parse('models --json'), { name: 'models', json: true })
  assert.deepEqual(parse('doctor --home h'), { name: 'doctor', home: 'h', json: false })
  assert.deepEqual(parse('chat -m qwen --system Brief.'), { name: 'chat', model: 'qwen', system: 'Brief.' })
  assert.deepEqual(parseCommandLine(['chat', 'Why is the sky blue?']), {
    name: 'chat',
    question: 'Why is the sky blue?',
  })
})

test('help and version, in the forms that people try', () => {
  for (const line of ['', 'help', '--help', '-h']) assert.deepEqual(parse(line), { name: 'help' }, line)
  for (const line of ['version', '--version', '-v']) assert.deepEqual(parse(line), { name: 'version' }, line)
  assert.deepEqual(parse('help serve'), { name: 'help', topic: 'serve' })
  assert.deepEqual(parse('serve --help'), { name: 'help', topic: 'serve' })
})

test('a mistyped name is answered with the nearest one', () => {
  assert.match(complaint('serv'), /no command "serv"\. Did you mean "serve"\?/)
  assert.match(complaint('frobnicate'), /no command "frobnicate"\. Commands: serve,/)
  assert.match(complaint('serve --prot 9'), /no option "--prot"\. Did you mean "--port"\?/)
  assert.match(complaint('serve --context 9'), /Did you mean "--context-tokens"\?/)
  assert.match(complaint('serve --zzzzzz 9'), /no option "--zzzzzz"\. See "ai-hub help serve"/)
  assert.match(complaint('chat --json'), /no option "--json"/)
  assert.match(complaint('constructor'), /no command "constructor"/)
  assert.match(complaint('serve --constructor'), /no option "--constructor"/)
})

test('values that are missing, doubled or too many', () => {
  assert.match(complaint('serve --port'), /--port needs a value/)
  assert.match(complaint('serve --port --home x'), /--port needs a value/)
  assert.match(complaint('serve --port 1 --port 2'), /--port is given twice/)
  assert.match(complaint('models --json=yes'), /--json takes no value/)
  assert.match(complaint('serve now'), /"now" is one argument too many/)
  assert.match(complaint('chat why not'), /Put the question in quotes/)
  assert.match(complaint('--port 9 serve'), /after its command/)
  assert.deepEqual(
    parse('serve --port -1'),
    { name: 'serve', settings: { port: '-1' } },
    'the schema judges the number',
  )
})

test('help names every command, and every option of a command', () => {
  const general = helpText('1.2.3')
  for (const name of ['serve', 'models', 'chat', 'doctor', 'help', 'version', '1.2.3'])
    assert.ok(general.includes(name))
  const serve = helpText('1.2.3', 'serve', SETTINGS)
  for (const part of ['--home DIR', '--port VALUE', '--context-tokens VALUE', 'TCP port', '--help']) {
    assert.ok(serve.includes(part), part)
  }
  assert.ok(!serve.includes('not as a setting'))
  assert.throws(() => helpText('1.2.3', 'sevre'), UsageError)
})

test('names', () => {
  assert.equal(optionName('promptCacheMiB'), 'prompt-cache-mib')
  assert.equal(nearest('modles', ['serve', 'models']), 'models')
  assert.equal(nearest('x', ['serve', 'models']), undefined)
})
