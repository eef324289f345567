/** The sandbox: what passes, what fails and why, and what code under test cannot reach. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { codeOf, extractCode, findPython, runTests, type SandboxLimits } from '../../server/training/sandbox.ts'
import { nodeGuardUrl, PYTHON_GUARD } from '../../server/training/sandbox_guard.ts'

const { signal } = new AbortController()
const python = (await findPython()) === undefined ? { skip: 'needs Python 3.10 or newer' } : {}
const LIMITS: SandboxLimits = { timeoutMs: 20_000, memoryBytes: 256 * 2 ** 20 }

const js = (code: string, tests = '', limits = LIMITS) =>
  runTests(code, { language: 'javascript', code: tests }, signal, limits)
const py = (code: string, tests = '', limits = LIMITS) =>
  runTests(code, { language: 'python', code: tests }, signal, limits)

test('the first block in the language is the code, then any first block, then all of it', () => {
  const answer = 'So:\n```sh\nnpm test\n```\nand\n```js\nlet a = 1\n```\n```js\nlet b\n```\n'
  assert.equal(extractCode(answer, 'javascript'), 'let a = 1\n')
  assert.equal(extractCode(answer, 'python'), 'npm test\n')
  assert.equal(extractCode('let a = 1', 'javascript'), 'let a = 1')
  assert.equal(extractCode('~~~python\nx = "```"\n~~~', 'python'), 'x = "```"\n')
  // Cut off by the token limit.
  assert.equal(extractCode('```ts\nconst a: number = 1', 'typescript'), 'const a: number = 1')
})

test('an answer of a completion or of infill stands in its surroundings', () => {
  const infill = { kind: 'infill', prefix: 'const a = ', middle: '1', suffix: '\n' } as const
  assert.equal(codeOf(infill, '2', 'javascript'), 'const a = 2\n')
  const completion = { kind: 'completion', prompt: 'def f():\n', completion: '    return 1' } as const
  assert.equal(codeOf(completion, '    return 2', 'python'), 'def f():\n    return 2')
  assert.equal(codeOf(completion, '```py\nx = 1\n```', 'python'), 'x = 1\n')
})

test('code passes when its tests end without an error', async () => {
  assert.equal((await js('const f = () => 4', 'assert.equal(f(), 4)')).outcome, 'passed')
  const wrong = await js('const f = () => 5', 'assert.equal(f(), 4)')
  assert.equal(wrong.outcome, 'failed')
  assert.match(wrong.said, /5 !== 4/)
  assert.equal((await js('const f = (', 'assert.equal(f(), 4)')).outcome, 'failed')
  assert.equal((await js(' \n', '')).outcome, 'no_code')
})

test('CommonJS, ES modules and TypeScript with enums are understood', async () => {
  assert.equal(
    (await js("const path = require('path')", "assert.equal(path.posix.join('a', 'b'), 'a/b')")).outcome,
    'passed',
  )
  assert.equal((await js('export const a = await Promise.resolve(3)', 'assert.equal(a, 3)')).outcome, 'passed')
  const ts = 'enum Colour { Red = 7 }\nclass A { constructor(readonly b: number) {} }'
  const run = await runTests(ts, { language: 'typescript', code: 'assert.equal(new A(Colour.Red).b, 7)' }, signal)
  assert.equal(run.outcome, 'passed', run.said)
})

test('an answer that ends the process before its tests, or fails after them, has not passed', async () => {
  assert.equal((await js('process.exit(0)', 'assert.equal(1, 2)')).outcome, 'failed')
  assert.equal((await js('', 'Promise.reject(new Error("late"))')).outcome, 'no_code')
  assert.equal((await js('Promise.reject(new Error("late"))')).outcome, 'failed')
  assert.equal((await js('await new Promise(() => {})')).outcome, 'failed')
})

test('JavaScript cannot reach files, network, processes, threads or signals', async context => {
  const folder = mkdtempSync(join(tmpdir(), 'ai-hub-test-'))
  context.after(() => rmSync(folder, { recursive: true, force: true }))
  const path = join(folder, 'secret.txt')
  writeFileSync(path, 'secret')
  const quoted = JSON.stringify(path)
  let connections = 0
  const server = createServer(socket => {
    connections++
    socket.destroy()
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  context.after(() => void server.close())
  const { port } = server.address() as { port: number }
  const attempts = [
    `require('node:fs').readFileSync(${quoted})`,
    `require('fs').writeFileSync(${JSON.stringify(join(folder, 'new.txt'))}, '')`,
    `const fs = await import('node:fs/promises'); await fs.readFile(${quoted})`,
    `require('net').connect(${port}, '127.0.0.1')`,
    `const net = await import('net'); net.connect(${port}, '127.0.0.1')`,
    `module.constructor._load('net').connect(${port}, '127.0.0.1')`,
    `module.constructor.registerHooks({ resolve: url => ({ url, format: 'builtin', shortCircuit: true }) })
     require('node:net').connect(${port}, '127.0.0.1')`,
    `new process.stdin.constructor().connect(${port}, '127.0.0.1')`,
    `new process.stdout._handle.constructor(0).connect({}, '/tmp/socket')`,
    `process.getBuiltinModule('net').connect(${port}, '127.0.0.1')`,
    `await fetch('http://127.0.0.1:${port}')`,
    `new WebSocket('ws://127.0.0.1:${port}')`,
    `require('child_process').execSync('node --version')`,
    `new (require('worker_threads').Worker)('0', { eval: true })`,
    `require('module').createRequire(${quoted})('net')`,
    `process.kill(process.ppid, 0)`,
    `process.execve(process.execPath, ['node', '--version'], {})`,
    `process.report.writeReport(${JSON.stringify(join(folder, 'report.json'))})`,
    `process.loadEnvFile(${quoted})`,
    `await import('data:text/javascript,export { connect } from "node:net"')`,
    `require('os').setPriority(process.ppid, 19)`,
    `process.binding('tcp_wrap')`,
    `process.env.HOME.length + process.env.PATH.length + process.env.USERPROFILE.length`,
  ]
  for (const attempt of attempts) {
    const run = await js(attempt)
    assert.equal(run.outcome, 'failed', attempt)
  }
  assert.equal(connections, 0)
})

test('Python cannot reach files, network or processes', python, async context => {
  const folder = mkdtempSync(join(tmpdir(), 'ai-hub-test-'))
  context.after(() => rmSync(folder, { recursive: true, force: true }))
  const path = join(folder, 'secret.txt')
  writeFileSync(path, 'secret')
  const quoted = JSON.stringify(path)
  const attempts = [
    `open(${quoted}).read()`,
    `open(${JSON.stringify(join(folder, 'new.txt'))}, 'w')`,
    `import os\nos.open(${quoted}, os.O_RDONLY)`,
    `import os\nos.remove(${quoted})`,
    `import os\nos.system('echo')`,
    `import subprocess\nsubprocess.run(['echo'])`,
    `import os\nos.kill(os.getppid(), 0)`,
    `import socket\nsocket.create_connection(('192.0.2.1', 9), 1)`,
    `import socket\nsocket.getaddrinfo('localhost', 80)`,
    `import urllib.request\nurllib.request.urlopen('http://192.0.2.1')`,
    `import ctypes\nctypes.CDLL(None)`,
    `import _posixsubprocess`,
    `import multiprocessing\nmultiprocessing.Process(target=print).start()`,
    `import sqlite3\nsqlite3.connect(${quoted})`,
  ]
  for (const attempt of attempts) {
    const run = await py(attempt)
    assert.equal(run.outcome, 'failed', attempt)
    assert.match(run.said, /PermissionError/, attempt)
  }
})

test('Python runs its tests behind the answer, and no main block', python, async () => {
  const code = "def f():\n    return 4\n\nif __name__ == '__main__':\n    f(input())"
  assert.equal((await py(code, 'assert f() == 4')).outcome, 'passed')
  assert.equal((await py(code, 'assert f() == 5')).outcome, 'failed')
  assert.equal((await py('import sys\nsys.exit(0)', 'assert False')).outcome, 'failed')
  const asynchronous = 'import asyncio\nasync def f():\n    await asyncio.sleep(0)\n    return 3'
  assert.equal((await py(asynchronous, 'assert asyncio.run(f()) == 3')).outcome, 'passed')
})

test('endless code ends by its time', async () => {
  assert.equal((await js('for (;;) {}', '', { ...LIMITS, timeoutMs: 300 })).outcome, 'timeout')
})

test('a child that nobody stops ends itself', async () => {
  const guard = nodeGuardUrl(300)
  const args = ['--permission', '--allow-worker', '--no-warnings', '--import', guard, '-']
  const child = spawn(process.execPath, args, { stdio: ['pipe', 'ignore', 'ignore'] })
  child.stdin.end('for (;;) {}')
  const [, endedBy] = await once(child, 'exit')
  if (process.platform !== 'win32') assert.equal(endedBy, 'SIGKILL')
})

test('Python that sleeps and that nobody stops ends itself', python, async () => {
  const child = spawn((await findPython())!, ['-I', '-c', PYTHON_GUARD], { stdio: ['pipe', 'ignore', 'ignore'] })
  const limits = { memoryBytes: LIMITS.memoryBytes, seconds: 60, endsSeconds: 0.3 }
  child.stdin.end(JSON.stringify({ code: 'import time\ntime.sleep(600)', mark: 'x', ...limits }))
  assert.deepEqual(await once(child, 'exit'), [1, null])
})

test('endless output and endless memory end', async () => {
  assert.equal(
    (await js("const tick = () => { console.log('x'.repeat(1000)); setImmediate(tick) }; tick()")).outcome,
    'output',
  )
  assert.equal(
    (
      await js('const a = []; for (;;) a.push(new Array(1000).fill(a.length))', '', {
        ...LIMITS,
        memoryBytes: 64 * 2 ** 20,
      })
    ).outcome,
    'memory',
  )
})

test('memory outside of the heap counts as well', {
  skip: process.platform === 'linux' ? false : 'only Linux tells it',
}, async () => {
  assert.equal((await js('const a = []; setInterval(() => a.push(Buffer.alloc(2 ** 24, 1)), 1)')).outcome, 'memory')
  if ('skip' in python) return
  assert.equal((await py('a = b"x" * (1 << 30)')).outcome, 'memory')
})

test('a cancelled evaluation ends the child', async () => {
  const control = new AbortController()
  const run = runTests('for (;;) {}', { language: 'javascript', code: '' }, control.signal, LIMITS)
  control.abort()
  await assert.rejects(run, { code: 'cancelled' })
  await assert.rejects(runTests('1', { language: 'javascript', code: '' }, control.signal), { code: 'cancelled' })
})
