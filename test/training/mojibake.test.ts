/** Wrong decodings are repaired to exactly what the text was; clean text of any language and code is never touched. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { repairText } from '../../server/training/mojibake.ts'
import {
  BREAKS,
  CODE,
  ENCODING_TRAPS,
  ENGLISH,
  prose,
  REPETITION_TRAPS,
  SECRET_TRAPS,
  seeded,
  VIETNAMESE,
} from '../helpers/dirty_data.ts'

const CASES: [broken: string, whole: string, how: string][] = [
  ['Tiáº¿ng Viá»‡t', 'Tiếng Việt', 'utf8_as_windows-1252'],
  ['Cá»\u0099ng hÃ²a', 'Cộng hòa', 'utf8_as_latin1'],
  ['TiÃ¡ÂºÂ¿ng ViÃ¡Â»â€¡t', 'Tiếng Việt', 'utf8_as_windows-1252'],
  ['It doesnâ€™t work', 'It doesn’t work', 'utf8_as_windows-1252'],
  ['un cafÃ© noir', 'un café noir', 'utf8_as_windows-1252'],
  ['æ—¥æœ¬èªž', '日本語', 'utf8_as_windows-1252'],
  ['Done ðŸŽ‰', 'Done 🎉', 'utf8_as_windows-1252'],
  [
    'Céng hßa x· héi chñ nghÜa ViÖt Nam §éc lËp - Tù do - H¹nh phóc',
    'Cộng hòa xã hội chủ nghĩa Việt Nam Độc lập - Tự do - Hạnh phúc',
    'tcvn3',
  ],
  [
    'Coäng hoøa xaõ hoäi chuû nghóa Vieät Nam, Ñoäc laäp - Töï do - Haïnh phuùc',
    'Cộng hòa xã hội chủ nghĩa Việt Nam, Độc lập - Tự do - Hạnh phúc',
    'vni',
  ],
  ['Tie\u0302\u0301ng Vie\u0323\u0302t', 'Tiếng Việt', 'not_nfc'],
  ['\u001b[1;31merror\u001b[0m: x\u0000', 'error: x', 'control'],
  ['cut \ud83d here', 'cut  here', 'surrogate'],
]
for (const [broken, whole, how] of CASES) {
  test(`${JSON.stringify(broken.slice(0, 30))} is ${how}`, () => {
    assert.deepEqual(repairText(broken), { text: whole, repaired: [how], uncertain: false })
  })
}

test('clean text is never changed, whatever it looks like', () => {
  for (const text of [...ENCODING_TRAPS, ...SECRET_TRAPS, ...REPETITION_TRAPS, ...CODE, ...VIETNAMESE, ...ENGLISH]) {
    const repair = repairText(text)
    assert.equal(repair.text, text)
    assert.deepEqual(repair.repaired, [])
  }
})

test('an example of a wrong decoding is named as uncertain and left alone', () => {
  for (const text of ['The word café becomes "cafÃ©" in Latin-1.', "const map = { 'Ã©': 'é' }"])
    assert.deepEqual(repairText(text), { text, repaired: [], uncertain: true })
})

test('control characters of what may be broken letters stay', () => {
  const text = 'é là Ã\u0080 b'
  assert.equal(repairText(text).text, text)
})

test('lines decoded wrongly among clean ones are repaired when there are several', () => {
  const [clean, ...lines] = VIETNAMESE.slice(0, 5)
  const broken = lines.map(line => new TextDecoder('windows-1252').decode(Buffer.from(line)))
  assert.equal(repairText([clean, ...broken].join('\n')).text, [clean, ...lines].join('\n'))
  const one = [clean, broken[0]].join('\n')
  assert.deepEqual(repairText(one), { text: one, repaired: [], uncertain: true })
})

test('repairs give exactly the text that was, or leave it; and repairing twice is repairing once', () => {
  const seed = fc.integer()
  fc.assert(
    fc.property(fc.constantFrom(...BREAKS), seed, ({ break: spoil, lower }, n) => {
      const text = prose(seeded(n), VIETNAMESE)
      const original = lower ? text.toLowerCase() : text
      const broken = spoil(text)
      const { text: repaired } = repairText(broken)
      assert.ok(repaired === original || repaired === broken, `${broken} became ${repaired}`)
    }),
    { seed: 1, numRuns: 400 },
  )
  const unit = fc.oneof(
    fc.integer({ min: 0, max: 0xff }),
    fc.integer({ min: 0, max: 0xffff }),
    fc.constantFrom(0xc3, 0xa9, 0xe1, 0xba, 0xbf),
  )
  fc.assert(
    fc.property(fc.array(unit, { maxLength: 60 }), units => {
      const once = repairText(String.fromCharCode(...units)).text
      assert.equal(repairText(once).text, once)
    }),
    { seed: 2, numRuns: 2000 },
  )
})

test('a repair that is not wanted is found all the same', () => {
  const choice = { mojibake: false, not_nfc: true, control_characters: true }
  const text = 'Tiáº¿ng Viá»‡t'
  assert.deepEqual(repairText(text, choice), { text, repaired: ['utf8_as_windows-1252'], uncertain: false })
})
