/** The training half of the dashboard, a file of its own that is read when one of its tabs is opened first. */
import { useEffect } from 'react'
import type { Bridge } from '../../bridge.ts'
import { useStore } from '../../store.ts'
import type { Parts } from '../parts.ts'
import type { Tab } from '../tabs.ts'
import { AdaptersTab } from './adapters_tab.tsx'
import { DatasetsTab } from './datasets_tab.tsx'
import { createTraining, type Training } from './training.ts'
import { TrainingTab } from './training_tab.tsx'
import { Failure } from './widgets.tsx'

/** One for the page, so that what is known stays known while another tab is looked at. */
let known: { bridge: Bridge; training: Training } | undefined

function trainingOf(bridge: Bridge): Training {
  if (known?.bridge === bridge) return known.training
  const training = createTraining(bridge)
  bridge.listen({
    event: training.hear,
    connected(connected) {
      if (connected) training.again()
    },
  })
  known = { bridge, training }
  return training
}

export function TrainingHalf({ tab, ...given }: Parts & { tab: Tab }) {
  const training = trainingOf(given.bridge)
  const parts = { ...given, training }
  const failure = useStore(training.store, state => state.failure)
  useEffect(() => {
    const list = tab === 'training' ? 'jobs' : tab === 'datasets' ? 'datasets' : 'adapters'
    void training.read(list)
  }, [tab, training])
  return (
    <div className="training">
      <Failure text={failure} />
      {tab === 'training' && <TrainingTab {...parts} />}
      {tab === 'datasets' && <DatasetsTab {...parts} />}
      {tab === 'adapters' && <AdaptersTab {...parts} />}
    </div>
  )
}
