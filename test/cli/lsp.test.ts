/** LSP's framing as bytes come in any cut, and what is refused. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { frame, MessageSplitter } from '../../server/cli/lsp.ts'

test('messages come out whole, however the bytes are cut', () => {
  fc.assert(
    fc.property(fc.array(fc.string({ unit: 'grapheme' }), { maxLength: 8 }), fc.array(fc.nat(200)), (texts, cuts) => {
      const bytes = Buffer.concat(texts.map(frame))
      const splitter = new MessageSplitter()
      const found: string[] = []
      let at = 0
      for (const cut of [...cuts, bytes.length]) {
        found.push(...splitter.push(bytes.subarray(at, at + cut)))
        at = Math.min(bytes.length, at + cut)
      }
      assert.deepEqual(found, texts)
    }),
    { seed: 3, numRuns: 300 },
  )
})

test('other headers are passed over, and what is no message is refused', () => {
  const body = '{"a":"é"}'
  const header = `Content-Type: application/vscode-jsonrpc; charset=utf-8\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n`
  assert.deepEqual(new MessageSplitter().push(Buffer.from(header + body)), [body])
  assert.throws(() => new MessageSplitter().push(Buffer.from('hello\r\n\r\n')), /Content-Length/)
  assert.throws(() => new MessageSplitter().push(Buffer.from('Content-Length: 999999999999\r\n\r\n')), /more than/)
  assert.throws(() => new MessageSplitter().push(Buffer.alloc(5000, 'x')), /header without an end/)
})
