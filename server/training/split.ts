/** Which part of a dataset a sample belongs to: decided by what it asks alone, so that it stays there as the dataset grows. */
import { createHash } from 'node:crypto'
import type { Part, Shares } from '../wire/dataset.ts'
import type { Sample } from '../wire/sample.ts'

export const DEFAULT_SHARES: Shares = { train: 0.9, validation: 0.05, test: 0.05 }
/** One salt for all datasets, so that a sample which two of them share is in the same part of both. */
export const DEFAULT_SALT = 'ai-hub'

/**
 * A sample's test part is the lowest stretch of the hash and validation the next one: other shares of the rest move
 * nothing across the border of the test part.
 */
export function partOf(sample: Sample, salt: string = DEFAULT_SALT, shares: Shares = DEFAULT_SHARES): Part {
  const digest = createHash('sha256')
    .update(`${salt}\0${splitKey(sample)}`)
    .digest()
  const place = digest.readUIntBE(0, 6) / 2 ** 48
  if (place < shares.test) return 'test'
  return place < shares.test + shares.validation ? 'validation' : 'train'
}

/**
 * What keeps samples together: the prompt without its answer, whatever its case and spacing, so that the same question with
 * another answer, or a conversation that went on, is not split. All samples of one code file belong together as well.
 */
export function splitKey(sample: Sample): string {
  switch (sample.kind) {
    case 'chat':
    case 'preference': {
      const first = sample.messages.findIndex(message => message.role === 'assistant')
      const asked = sample.messages
        .slice(0, first < 0 ? undefined : first)
        .filter(message => message.role === 'user')
        .map(message => message.content ?? '')
        .join('\n')
      if (asked.trim() !== '') return `prompt ${normalise(asked)}`
      return `prompt ${normalise(sample.messages.map(message => message.content ?? '').join('\n'))}`
    }
    case 'completion':
      return `prompt ${normalise(sample.prompt.trim() === '' ? sample.completion : sample.prompt)}`
    case 'text':
      // A text without a line is a whole file.
      return sample.origin !== undefined && sample.origin.line === undefined
        ? `file ${sample.origin.source}`
        : `text ${normalise(sample.text)}`
    case 'infill':
      return sample.path === undefined
        ? `code ${normalise(`${sample.prefix}\n${sample.suffix}`)}`
        : `file ${sample.path}`
  }
}

/** Unicode form, case, invisible characters and spacing are not what makes a prompt another one. */
export function normalise(text: string): string {
  return text
    .normalize('NFC')
    .toLowerCase()
    .replace(/[\u200b-\u200d\u2060\ufeff\u00ad]/g, '')
    .replace(/\s+/g, ' ')
    .trim()
}
