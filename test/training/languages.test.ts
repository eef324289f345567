/** The language of a text: what the languages of this product's users are told apart by, and code. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { countLanguages, languageOf } from '../../server/training/languages.ts'
import { fold, isSyllable } from '../../server/training/vietnamese.ts'
import { CODE, ENGLISH, VIETNAMESE } from '../helpers/dirty_data.ts'

test('sentences are told apart', () => {
  const TEXTS: [language: string, texts: string[]][] = [
    ['vi', [...VIETNAMESE, 'tôi có ba và má ở nhà với hai cô bé']],
    ['vi-plain', VIETNAMESE.map(fold)],
    ['en', ENGLISH],
    [
      'fr',
      ['Le serveur ferme les connexions qui ne sont pas dans la liste.', 'Vous avez une erreur dans cette fonction.'],
    ],
    ['de', ['Die Funktion gibt eine Liste zurück, und sie ist nicht leer.']],
    ['es', ['El servidor cierra las conexiones que no se usan en una hora.']],
    ['zh', ['这个函数返回列表中所有数字的总和。']],
    ['ja', ['この関数はリストの合計を返します。']],
    ['ko', ['이 함수는 목록의 합계를 반환합니다.']],
    ['ru', ['Эта функция возвращает сумму чисел.']],
    ['code', CODE.map(block => block.replace(/```\w*\n?/g, ''))],
    ['unknown', ['', '12345 67890', 'xqzt vwkp']],
  ]
  let wrong = 0
  let all = 0
  const mistakes: string[] = []
  for (const [language, texts] of TEXTS)
    for (const text of texts) {
      all++
      if (languageOf(text) === language) continue
      wrong++
      mistakes.push(`${text}: ${languageOf(text)}, not ${language}`)
    }
  assert.ok(wrong <= all * 0.03, mistakes.join('\n'))
})

test('a text with a code block counts for both', () => {
  const counts = countLanguages(`${ENGLISH[0]}\n${CODE[0]}\n${VIETNAMESE[0]}`)
  assert.deepEqual([...counts.keys()].sort(), ['code', 'en', 'vi'])
  assert.equal(counts.get('en'), ENGLISH[0]!.length)
})

test('syllables are told from what is none', () => {
  const yes = 'nghiêng Việt quốc gì giếng khuya uống ướt yêu quyển thuở loạn ngoằn xoong Đắk ở ư'
    .replace('Đắk', 'Đắc')
    .split(' ')
  const no = 'café naïve Straße ếch2 bếtx tiênǵ ât cạf ngiêng zá'.split(' ')
  assert.deepEqual(
    yes.filter(word => !isSyllable(word)),
    [],
  )
  assert.deepEqual(no.filter(isSyllable), [])
})
