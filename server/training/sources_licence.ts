/** What the head of a code file says about its use: a licence by its name, or that it may not be used. */

/** `name` is an SPDX name where the head has one; `forbidden` is the reason why the file is left out. */
export type Licence = { name?: string; forbidden?: string }

const HEAD_LINES = 60
const COMMENT = /^\s*(\/\/|\/\*|\*|#|--|;|%|<!--|"""|'''|\(\*|\{-|rem\b|@rem\b|=begin)/i

const OPEN: [RegExp, string][] = [
  [/\bapache(?:\s+software)?\s+license\b|\bapache-2\.0\b/i, 'Apache-2.0'],
  [/\bmit\s+license\b|\bmit-style\b|permission is hereby granted, free of charge/i, 'MIT'],
  [/\bmozilla\s+public\s+license\b|\bmpl-2\.0\b/i, 'MPL-2.0'],
  [/\blesser\s+general\s+public\s+license\b|\blgpl\b/i, 'LGPL'],
  [/\baffero\s+general\s+public\s+license\b|\bagpl\b/i, 'AGPL'],
  [/\bgnu\s+general\s+public\s+license\b|\bgpl(?:v?[23])?\b/i, 'GPL'],
  [/\bbsd(?:-style)?\b.{0,40}\blicense\b|redistribution and use in source and binary forms/i, 'BSD'],
  [/\bisc\s+license\b|permission to use, copy, modify, and\/or distribute/i, 'ISC'],
  [/\bboost\s+software\s+license\b/i, 'BSL-1.0'],
  [/\bpublic\s+domain\b|\bunlicense\b|\bcc0\b/i, 'public domain'],
]
const FORBIDDEN: [RegExp, string][] = [
  [
    /\bnot?\s+(?:ai|ml|machine[- ]learning)\s+training\b|\b(?:may|must|shall)\s+not\s+be\s+used\s+(?:for|to)\s+train/i,
    'no training',
  ],
  [/\bproprietary\b/i, 'proprietary'],
  [/\bconfidential\b|\btrade\s+secret/i, 'confidential'],
  [
    /\bunauthori[sz]ed\s+(?:copying|use|distribution|reproduction)\b|\bdo\s+not\s+(?:copy|distribute|redistribute)\b/i,
    'no copying',
  ],
]

/** The comments that a file begins with; code ends them, but for a few words that stand before every head. */
export function headOf(text: string): string {
  const kept: string[] = []
  /** End of the block comment that is open. */
  let until: string | undefined
  for (const line of text.split('\n', HEAD_LINES)) {
    if (until !== undefined) {
      kept.push(line)
      if (line.includes(until)) until = undefined
      continue
    }
    if (line.trim() === '' || /^\s*(<\?php|<\?xml.*|['"]use strict['"];?|package [\w.]+;?)\s*$/.test(line)) continue
    if (!COMMENT.test(line)) break
    kept.push(line)
    until = openBlock(line)
  }
  return kept.join('\n')
}

function openBlock(line: string): string | undefined {
  for (const [open, close] of [
    ['/*', '*/'],
    ['<!--', '-->'],
    ['"""', '"""'],
    ["'''", "'''"],
    ['(*', '*)'],
    ['{-', '-}'],
    ['=begin', '=end'],
  ] as const) {
    const at = line.indexOf(open)
    if (at >= 0 && line.slice(0, at).trim() === '' && !line.includes(close, at + open.length)) return close
  }
  return undefined
}

/** "All rights reserved" alone forbids; above an open licence it is only a custom of writing. */
export function licenceOf(text: string): Licence {
  // A sentence may be broken over lines, with marks of the comment between.
  const head = headOf(text).replace(/[\s*#/;%-]*\n[\s*#/;%-]*/g, ' ')
  const spdx = /SPDX-License-Identifier:\s*([\w.()+ -]+?)\s*(?:\*|-->|$|\s{2}| Copyright)/i.exec(head)?.[1]
  if (spdx !== undefined) {
    const isClosed = /^(UNLICENSED|NONE|NOASSERTION|LicenseRef-\S*(proprietary|commercial|closed|internal)\S*)$/i.test(
      spdx,
    )
    return isClosed ? { name: spdx, forbidden: 'proprietary' } : { name: spdx, ...noTraining(head) }
  }
  const name = OPEN.find(([pattern]) => pattern.test(head))?.[1]
  if (name !== undefined) return { name, ...noTraining(head) }
  const forbidden = FORBIDDEN.find(([pattern]) => pattern.test(head))?.[1]
  if (forbidden !== undefined) return { forbidden }
  return /\ball\s+rights\s+reserved\b/i.test(head) ? { forbidden: 'all rights reserved' } : {}
}

/** An open licence with this sentence beside it still says what its owner wants. */
function noTraining(head: string): { forbidden?: string } {
  const [pattern, reason] = FORBIDDEN[0]!
  return pattern.test(head) ? { forbidden: reason } : {}
}

/** The licence of a whole folder, by the text of its LICENSE file. */
export function licenceOfText(text: string): string | undefined {
  return OPEN.find(([pattern]) => pattern.test(text.slice(0, 2000)))?.[1]
}
