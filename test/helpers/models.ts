/** Where the real models and vocabularies that some tests need lie; they are not part of the repository. */
import { existsSync } from 'node:fs'
import { resolve } from 'node:path'

/** The folder, `AI_HUB_TEST_MODELS` or `../shared/models` beside the repository; undefined where it is absent. */
export function testModels(): string | undefined {
  const folder = process.env.AI_HUB_TEST_MODELS ?? resolve(import.meta.dirname, '../../../shared/models')
  return existsSync(folder) ? folder : undefined
}

/** Options for a test that needs that folder: it is skipped by name where the folder is absent. */
export const needsModels = testModels()
  ? {}
  : { skip: 'needs the real test models: set AI_HUB_TEST_MODELS to their folder' }
