/** The code actions, in the order in which they are offered. */
import type { Action } from './action.ts'
import { documentAction } from './document.ts'
import { explainAction } from './explain.ts'
import { fixAction } from './fix.ts'
import { nameAction } from './name.ts'
import { rewriteAction } from './rewrite.ts'
import { simplifyAction } from './simplify.ts'
import { testsAction } from './tests.ts'
import { translateAction } from './translate.ts'

export const ACTIONS: readonly Action[] = [
  fixAction,
  explainAction,
  documentAction,
  testsAction,
  rewriteAction,
  simplifyAction,
  nameAction,
  translateAction,
]
