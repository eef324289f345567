/** A/B tests: requests to one name go to one of two models, the same one for a whole conversation, and what users make of the answers decides. */
import { createHash, randomUUID } from 'node:crypto'
import { HubError } from '../lib/error.ts'
import type { Log } from '../lib/log.ts'
import {
  type AbTotals,
  countConversations,
  countSignal,
  insertAbTest,
  listAbTests,
  noteConversation,
  type StoredAbTest,
  stopAbTest,
  sumSignals,
  type Variant,
} from '../storage/ab.ts'
import type { Database } from '../storage/database.ts'
import type { AbComparison, AbMetric, AbTestOut, AbTestRequest, AbVoteRequest, Verdict } from '../wire/evaluation.ts'
import { differenceInterval } from './confidence_sequence.ts'

export type AbTestDeps = {
  db: Database
  /** The id of the model that a request calls so, undefined when there is none. */
  modelId(name: string): string | undefined
  now(): number
  log: Log
}

export type AbTests = {
  /**
   * The model for a request to `id`: one of the two when `id` is the name of a running test, else `id` itself.
   * @param key what the requests of one conversation have in common; without one each request is drawn by itself
   */
  resolve(id: string, key: string | undefined): string
  /** Names that requests may use as a model id, with the Unix seconds since when. */
  names(): { id: string; created: number }[]
  /** @throws HubError conflict when the name is taken, model_not_found for a model that is not there */
  create(request: AbTestRequest): AbTestOut
  /** Newest first. */
  list(): AbTestOut[]
  /** @throws HubError not_found */
  get(id: string): AbTestOut
  /** Requests to the name are refused from then on, as of a model that is not there. @throws HubError not_found */
  stop(id: string): AbTestOut
  /** @throws HubError not_found, conflict when the test is stopped */
  vote(id: string, vote: AbVoteRequest): { test: string; variant: Variant }
  /** Counts a suggestion taken or left in a conversation. What is not the name of a running test, or unknown to it, is left. */
  completion(name: string, key: string, taken: boolean): void
}

type Settings = Pick<AbTestRequest, 'base' | 'candidate' | 'metric' | 'confidence'>
type Test = Omit<StoredAbTest, 'settings'> & { settings: Settings }

/** Conversations per test that are known to be noted already. */
const REMEMBERED = 20_000

export function createAbTests({ db, modelId, now, log }: AbTestDeps): AbTests {
  const tests = new Map<string, Test>()
  const running = new Map<string, Test>()
  const noted = new Map<string, Set<string>>()
  for (const stored of listAbTests(db).reverse()) {
    // Written by this very room.
    const test = { ...stored, settings: stored.settings as Settings }
    tests.set(test.id, test)
    if (test.stoppedMs === undefined) running.set(test.name, test)
  }

  function find(id: string): Test {
    const test = tests.get(id) ?? running.get(id)
    if (test === undefined) throw new HubError('not_found', `There is no A/B test '${id}'.`, { param: 'id' })
    return test
  }

  function note(test: Test, key: string, variant: Variant): void {
    let known = noted.get(test.id)
    if (known === undefined || known.size >= REMEMBERED) {
      known = new Set()
      noted.set(test.id, known)
    }
    if (known.has(key)) return
    try {
      noteConversation(db, test.id, key, variant, now())
      known.add(key)
    } catch (thrown) {
      // A full disk costs the count, not the answer.
      log.warn('a conversation of an A/B test was not noted', { test: test.id, reason: HubError.from(thrown).message })
    }
  }

  return {
    resolve(id, key) {
      const test = running.get(id)
      if (test === undefined) return id
      const hashed = hashKey(test.id, key ?? randomUUID())
      const variant = choose(hashed, test.settings)
      if (key !== undefined) note(test, hashed, variant)
      return test.settings[variant].model
    },

    names: () => [...running.values()].map(test => ({ id: test.name, created: Math.floor(test.createdMs / 1000) })),

    create(request) {
      const { name, base, candidate, metric, confidence } = request
      if (running.has(name)) {
        throw new HubError('conflict', `The A/B test '${name}' runs already; stop it or choose another name.`, {
          param: 'name',
        })
      }
      if (modelId(name) !== undefined) {
        throw new HubError('conflict', `'${name}' is the id of a model; choose another name for the A/B test.`, {
          param: 'name',
        })
      }
      // Votes name the model as answers do, by its id.
      const known = (variant: Variant, { model, weight }: Settings['base']) => {
        const id = modelId(model)
        if (id !== undefined) return { model: id, weight }
        throw new HubError('model_not_found', `There is no model '${model}'.`, { param: `${variant}.model` })
      }
      const settings = { base: known('base', base), candidate: known('candidate', candidate), metric, confidence }
      if (settings.base.model === settings.candidate.model) {
        throw new HubError('invalid_request', `'${base.model}' and '${candidate.model}' are the same model.`, {
          param: 'candidate.model',
        })
      }
      const id = `abtest-${randomUUID().replaceAll('-', '')}`
      const test: Test = { id, name, createdMs: now(), stoppedMs: undefined, settings }
      insertAbTest(db, test)
      tests.set(id, test)
      running.set(name, test)
      return show(db, test)
    },

    list: () => [...tests.values()].sort((one, other) => other.createdMs - one.createdMs).map(test => show(db, test)),
    get: id => show(db, find(id)),

    stop(id) {
      const test = find(id)
      if (test.stoppedMs === undefined) {
        const stoppedMs = now()
        stopAbTest(db, test.id, stoppedMs)
        test.stoppedMs = stoppedMs
        running.delete(test.name)
        noted.delete(test.id)
      }
      return show(db, test)
    },

    vote(id, vote) {
      const test = find(id)
      if (test.stoppedMs !== undefined) {
        throw new HubError('conflict', `The A/B test '${test.name}' is stopped; it takes no votes any more.`)
      }
      const key = vote.user !== undefined ? userKey(vote.user) : vote.first_message && messageKey(vote.first_message)
      if (key !== undefined) {
        const variant = countSignal(db, test.id, hashKey(test.id, key), vote.signal)
        if (variant !== undefined) return { test: test.id, variant }
        if (vote.model === undefined) {
          throw new HubError('not_found', `No request of this conversation went through the A/B test '${test.name}'.`, {
            param: vote.user !== undefined ? 'user' : 'first_message',
          })
        }
      }
      const variant = (['base', 'candidate'] as const).find(each => test.settings[each].model === vote.model)
      if (variant === undefined) {
        throw new HubError('invalid_request', `'${vote.model}' is neither model of the A/B test '${test.name}'.`, {
          param: 'model',
        })
      }
      // Nobody knows which votes of this kind belong together, so each is a conversation of its own.
      const alone = hashKey(test.id, randomUUID())
      noteConversation(db, test.id, alone, variant, now())
      countSignal(db, test.id, alone, vote.signal)
      return { test: test.id, variant }
    },

    completion(name, key, taken) {
      const test = running.get(name)
      if (test === undefined) return
      try {
        countSignal(db, test.id, hashKey(test.id, key), taken ? 'accepted' : 'rejected')
      } catch (thrown) {
        log.warn('a signal of an A/B test was not counted', { test: test.id, reason: HubError.from(thrown).message })
      }
    },
  }
}

/** What makes the requests of one user, or of one conversation, go to one model. */
export const userKey = (user: string): string => `user\0${user}`
export const messageKey = (firstMessage: string): string => `message\0${firstMessage}`

function hashKey(test: string, key: string): string {
  return createHash('sha256').update(`${test}\0${key}`).digest('hex')
}

/** By the hash, so that a conversation keeps its model over restarts as well. */
function choose(hashed: string, { base, candidate }: Settings): Variant {
  const place = Number.parseInt(hashed.slice(0, 12), 16) / 2 ** 48
  return place < base.weight / (base.weight + candidate.weight) ? 'base' : 'candidate'
}

function show(db: Database, test: Test): AbTestOut {
  const { base, candidate, metric, confidence } = test.settings
  const comparisons = (['vote', 'completion'] as const).map(each => compareArms(db, test, each))
  const main = comparisons.find(each => each.metric === metric)!
  return {
    object: 'ab_test',
    id: test.id,
    name: test.name,
    status: test.stoppedMs === undefined ? 'running' : 'stopped',
    created_at: Math.floor(test.createdMs / 1000),
    stopped_at: test.stoppedMs === undefined ? null : Math.floor(test.stoppedMs / 1000),
    base,
    candidate,
    metric,
    confidence,
    conversations: countConversations(db, test.id),
    comparisons,
    verdict: main.verdict,
    summary: summarise(main, test.settings),
  }
}

function compareArms(db: Database, test: Test, metric: AbMetric): AbComparison {
  const sums = sumSignals(db, test.id, metric)
  const arm = ({ conversations, score }: AbTotals) => ({ count: conversations, score })
  const interval = differenceInterval(arm(sums.base), arm(sums.candidate), test.settings.confidence)
  const rate = ({ conversations, score }: AbTotals) => (conversations === 0 ? null : score / conversations)
  const [one, other] = [rate(sums.base), rate(sums.candidate)]
  const verdict: Verdict = interval.low > 0 ? 'better' : interval.high < 0 ? 'worse' : 'not yet known'
  const count = ({ conversations, good, bad }: AbTotals, share: number | null) => ({
    conversations,
    good,
    bad,
    rate: share,
  })
  return {
    metric,
    base: count(sums.base, one),
    candidate: count(sums.candidate, other),
    difference: one === null || other === null ? null : other - one,
    interval,
    verdict,
  }
}

function summarise({ metric, base, candidate, interval, verdict }: AbComparison, settings: Settings): string {
  const what = metric === 'vote' ? 'good votes' : 'suggestions taken'
  if (base.rate === null || candidate.rate === null) {
    const missing = base.rate === null ? settings.base.model : settings.candidate.model
    return `Not yet known: there is no ${metric === 'vote' ? 'vote' : 'completion'} for ${missing} yet.`
  }
  const percent = (share: number) => `${(share * 100).toFixed(1)} %`
  const signed = (share: number) => (share > 0 ? `+${percent(share)}` : percent(share))
  const figures = `${percent(candidate.rate)} ${what} in ${candidate.conversations} conversations with ${settings.candidate.model}, ${percent(base.rate)} in ${base.conversations} with ${settings.base.model}; the difference lies between ${signed(interval.low)} and ${signed(interval.high)} (${Number((interval.level * 100).toFixed(2))} % sure at every look).`
  const head =
    verdict === 'not yet known'
      ? 'Not yet known'
      : `${settings.candidate.model} is ${verdict} than ${settings.base.model}`
  return `${head}: ${figures}`
}
