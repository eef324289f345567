/** The training half of the dashboard, a file of its own that is read when one of its tabs is opened first. */
import type { Parts } from '../parts.ts'
import type { Tab } from '../tabs.ts'
import { AdaptersTab } from './adapters_tab.tsx'
import { DatasetsTab } from './datasets_tab.tsx'
import { TrainingTab } from './training_tab.tsx'

export function TrainingHalf({ tab, ...parts }: Parts & { tab: Tab }) {
  if (tab === 'training') return <TrainingTab {...parts} />
  if (tab === 'datasets') return <DatasetsTab {...parts} />
  return <AdaptersTab {...parts} />
}
