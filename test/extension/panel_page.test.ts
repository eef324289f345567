/** The HTML of a page in a panel: nothing in it can be broken out of, and only its own files run. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { pageHtml } from '../../extension/panel_page.ts'

const frame = {
  name: 'chat',
  title: 'AI Chat',
  nonce: 'abc123',
  file: (name: string) => `https://file+.example/${name}?a=1&b=2`,
  language: 'vi',
  state: { at: 0, kept: {}, own: {} },
  route: '',
}

test('the script and the styles have the nonce, and the policy allows nothing else', () => {
  const html = pageHtml(frame)
  const policy = /http-equiv="Content-Security-Policy" content="([^"]+)"/.exec(html)![1]!
  const rules = Object.fromEntries(policy.split('; ').map(rule => [rule.split(' ')[0], rule.split(' ').slice(1)]))
  assert.deepEqual(rules['default-src'], ["'none'"])
  assert.deepEqual(rules['script-src'], ["'nonce-abc123'"])
  assert.deepEqual(rules['style-src'], ["'nonce-abc123'"])
  assert.equal(rules['connect-src'], undefined)
  assert.doesNotMatch(policy, /unsafe|https?:|\*/)
  assert.equal([...html.matchAll(/<script/g)].length, 1)
  assert.match(
    html,
    /<script type="module" nonce="abc123" src="https:\/\/file\+\.example\/chat\.js\?a=1&amp;b=2"><\/script>/,
  )
  assert.match(html, /<html lang="vi">/)
})

test('what was kept stays text, whatever it says', () => {
  const draft = '"><script>alert(1)</script>\' &quot; </body>'
  const html = pageHtml({
    ...frame,
    state: { at: 1, kept: { 'draft.new': draft }, own: {} },
    route: draft,
    language: draft,
    title: draft,
  })
  assert.equal([...html.matchAll(/<script/g)].length, 1)
  const kept = /data-state="([^"]*)"/.exec(html)![1]!
  const text = kept.replaceAll('&lt;', '<').replaceAll('&gt;', '>').replaceAll('&quot;', '"').replaceAll('&amp;', '&')
  assert.deepEqual(JSON.parse(text), { at: 1, kept: { 'draft.new': draft }, own: {} })
})
