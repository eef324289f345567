/** The downloads of models, where there are some. */
import { Pulls } from '../get_model.tsx'
import { useStore } from '../store.ts'
import { useText } from '../texts.ts'
import { Card } from './card.tsx'
import type { Parts } from './parts.ts'

export function Downloads({ bridge, hub }: Parts) {
  const t = useText()
  const hasSome = useStore(hub, state => state.pulls.length > 0)
  if (!hasSome) return null
  return (
    <Card title={t.downloads}>
      <Pulls bridge={bridge} hub={hub} />
    </Card>
  )
}
