/** Every word of the training tabs, beside those of all pages. */
import { useLanguage } from '../../texts.ts'
import { en, type Words } from './words_en.ts'
import { vi } from './words_vi.ts'

const WORDS: { en: Words; vi: Words } = { en, vi }

export const useWords = (): Words => WORDS[useLanguage()]
