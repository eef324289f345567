/** The weight types that training on a GPU is tested with, beside F32. */
import type { WeightType } from '../helpers/family_models.ts'

export const QUANTISED: readonly WeightType[] = ['F16', 'Q8_0', 'Q4_0', 'Q4_K', 'Q5_K', 'Q6_K']
