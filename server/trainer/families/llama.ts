/** Llama and its many relatives: the common block itself; Llama 3's rope factors come with the file as a tensor. */
import type { Family } from './family.ts'

export const llama: Family = { architecture: 'llama', rope: 'normal' }
