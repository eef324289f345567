/** A choice between the answers of two models, counted in the figures of their A/B test. */
import type { AbTestOut } from '../../server/wire/evaluation.ts'
import type { Bridge } from '../bridge.ts'
import { newId } from '../id.ts'

/** The test of the two models is begun with the first vote. @throws HubFailure */
export async function vote(bridge: Bridge, better: string, worse: string): Promise<void> {
  const { data } = await bridge.request<{ data: AbTestOut[] }>('GET', '/v1/ab_tests')
  const isTheirs = ({ status, base, candidate }: AbTestOut): boolean =>
    status === 'running' && [base.model, candidate.model].sort().join('\0') === [better, worse].sort().join('\0')
  const test = data.find(isTheirs) ?? (await begin(bridge, better, worse))
  await bridge.request('POST', `/v1/ab_tests/${test.id}/votes`, { signal: 'good', model: better })
  await bridge.request('POST', `/v1/ab_tests/${test.id}/votes`, { signal: 'bad', model: worse })
}

function begin(bridge: Bridge, better: string, worse: string): Promise<AbTestOut> {
  const [base, candidate] = [better, worse].sort()
  const name = `side-by-side-${newId().slice(0, 8)}`
  return bridge.request('POST', '/v1/ab_tests', {
    name,
    base: { model: base },
    candidate: { model: candidate },
    metric: 'vote',
  })
}
