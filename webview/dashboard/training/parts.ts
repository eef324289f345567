/** What the training tabs are given beside what every part of the dashboard is. */
import type { Parts as DashboardParts } from '../parts.ts'
import type { Training } from './training.ts'

export type Parts = DashboardParts & { training: Training }

/** Of the chat page: two models side by side. */
export const compareRoute = (first: string, second: string): string =>
  `compare=${encodeURIComponent(first)},${encodeURIComponent(second)}`
