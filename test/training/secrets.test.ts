/** Secrets and personal data: each kind is found and masked wherever it stands, and what only looks like one is left alone. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { findSecrets, maskAll, maskSecrets } from '../../server/training/secrets.ts'
import { CODE, ENCODING_TRAPS, REPETITION_TRAPS, SECRET_TRAPS, SECRETS, seeded } from '../helpers/dirty_data.ts'

for (const { name, finding, make, around } of SECRETS) {
  test(`${name} is found by itself, and the words around it stay`, () => {
    let found = 0
    for (let seed = 0; seed < 40; seed++) {
      const value = make(seeded(seed))
      const text = `Xin chào.\n${around(value)}\nHết.`
      const secrets = findSecrets(text)
      if (!secrets.some(secret => secret.finding === finding)) continue
      found++
      const masked = maskAll(text)
      assert.ok(!masked.includes(value), masked)
      assert.ok(masked.startsWith('Xin chào.\n') && masked.endsWith('\nHết.'), masked)
      assert.equal(maskAll(masked), masked)
    }
    assert.ok(found >= 38, `${found} of 40`)
  })
}

test('clean text that looks like it has no secret', () => {
  for (const trap of [...SECRET_TRAPS, ...ENCODING_TRAPS, ...REPETITION_TRAPS, ...CODE])
    assert.deepEqual(
      findSecrets(trap).map(({ kind, start, end }) => `${kind} ${trap.slice(start, end)}`),
      [],
    )
})

test('the same value has the same placeholder in all of a sample, another one another', () => {
  const groups = [['ann.lee@gmail.com and bo.tran@gmail.com'], ['ask ann.lee@gmail.com']]
  assert.deepEqual(maskSecrets(groups, () => true).groups, [['<EMAIL_1> and <EMAIL_2>'], ['ask <EMAIL_1>']])
})

test('a password is masked also where nothing says that it is one', () => {
  const groups = [['password: "kTq7!mWz93bd"'], ['I typed kTq7!mWz93bd and it failed.']]
  assert.deepEqual(maskSecrets(groups, () => true).groups, [
    ['password: "<PASSWORD_1>"'],
    ['I typed <PASSWORD_1> and it failed.'],
  ])
})

test('a secret that the border of two texts cuts is masked in both', () => {
  const key = 'ghp_k3JdQ8sLw2ZxV7nB5tRy1MfGh6PcA9uEoXi4'
  for (let cut = 1; cut < key.length; cut++) {
    const group = [`token ${key.slice(0, cut)}`, key.slice(cut), ' end']
    assert.deepEqual(maskSecrets([group], () => true).groups, [['token <GITHUB_TOKEN_1>', '', ' end']])
  }
})

test('what is not to be masked is counted and stays', () => {
  const text = 'ann.lee@gmail.com, 0387 651 920'
  const masked = maskSecrets([[text]], finding => finding === 'phone')
  assert.deepEqual(masked.groups, [['ann.lee@gmail.com, <PHONE_VN_1>']])
  assert.deepEqual(Object.fromEntries(masked.found), { email: { email: 1 }, phone: { phone_vn: 1 } })
})

test('any text is taken, masking it twice is masking it once, and long ones take no long time', () => {
  const piece = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.constantFrom(
      '-----BEGIN PRIVATE KEY-----',
      'eyJ',
      '@',
      'sk-',
      'password=',
      '+84 ',
      ' is ',
      '://a:',
      '<EMAIL_1>',
      '09',
      '"',
    ),
    fc.tuple(fc.constantFrom(...SECRETS), fc.integer()).map(([{ make }, seed]) => make(seeded(seed))),
  )
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 12 }), pieces => {
      const masked = maskAll(pieces.join(''))
      assert.equal(maskAll(masked), masked)
    }),
    { seed: 11, numRuns: 200 },
  )
  for (const unit of [
    'a',
    '0',
    'a.',
    'eyJ',
    'token=',
    '-----BEGIN PRIVATE KEY-----',
    '@',
    '+1 ',
    'sk-',
    'a@',
    '://a:',
    ' ',
  ])
    maskAll(unit.repeat(Math.ceil(20_000 / unit.length)))
})
