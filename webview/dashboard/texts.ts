/** Every word of the dashboard beside those of all pages; the training half has its own. */
import { useLanguage } from '../texts.ts'
import { type DashboardTexts, en } from './texts_en.ts'
import { vi } from './texts_vi.ts'

export const DASHBOARD_TEXTS: { en: DashboardTexts; vi: DashboardTexts } = { en, vi }

export const useDashboardText = (): DashboardTexts => DASHBOARD_TEXTS[useLanguage()]
