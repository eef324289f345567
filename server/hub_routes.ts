/** Every route of a running hub, each with the parts of the hub that it needs. */
import { adapterRoutes } from './http/adapters.ts'
import { coreRoutes } from './http/all.ts'
import { conversationRoutes } from './http/conversations.ts'
import { datasetRoutes } from './http/datasets.ts'
import { evaluationRoutes } from './http/evaluation.ts'
import { type FileDeps, fileRoutes } from './http/files.ts'
import { fineTuningRoutes } from './http/fine_tuning.ts'
import type { EndpointDeps } from './http/generate.ts'
import { type History, historyRoutes } from './http/history.ts'
import { keyRoutes } from './http/keys.ts'
import { pullRoutes } from './http/pulls.ts'
import { type RequestLog, requestRoutes } from './http/requests.ts'
import { responsesRoutes } from './http/responses.ts'
import type { Route } from './http/route.ts'
import { type SettingsDeps, settingsRoutes } from './http/settings.ts'
import { chatKeeper, storedChatRoutes } from './http/stored_chats.ts'
import type { SystemDeps } from './http/system.ts'
import { trainingRoutes } from './http/training.ts'
import { measuredOf } from './hub_loading.ts'
import type { Log } from './lib/log.ts'
import type { Adapters } from './models/adapter_registry.ts'
import type { Models } from './models/models.ts'
import type { Pulls } from './models/pulls.ts'
import type { Registry } from './models/registry.ts'
import type { Access } from './security/access.ts'
import type { Database } from './storage/database.ts'
import type { AbTests } from './training/ab_test.ts'
import type { Evaluations } from './training/evaluations.ts'
import type { TrainingRoom } from './training/open.ts'
import { storedTurns } from './training/stored_turns.ts'

export type HubRoutesDeps = SystemDeps & {
  home: string
  db: Database
  cores: number
  now(): number
  log: Log
  endpoints: EndpointDeps
  /** Base models and adapters. */
  models: Models
  registry: Pick<Registry, 'changeCard'>
  adapters: Adapters
  /** The program that converts adapters. */
  converterScript: string
  requests: Pick<RequestLog, 'list'>
  history: History
  pulls: Pulls
  training: TrainingRoom
  files: FileDeps
  evaluations: Evaluations
  abTests: AbTests
  access: Access
  settings: Omit<SettingsDeps, 'db' | 'now'>
}

export function hubRoutes(deps: HubRoutesDeps): Route[] {
  const { home, db, cores, now, log, endpoints, models, adapters, training, evaluations } = deps
  const { jobs, schedules, samples, uploadedFile } = training
  return [
    ...coreRoutes({
      ...endpoints,
      storeChat: chatKeeper(db),
      version: deps.version,
      startedAt: deps.startedAt,
      systemStatus: deps.systemStatus,
      checks: deps.checks,
      measured: status => measuredOf(db, status),
      changeCard: (id, changes) => deps.registry.changeCard(id, changes),
    }),
    ...requestRoutes({ requests: deps.requests }),
    ...historyRoutes({ history: deps.history.read }),
    ...pullRoutes({ pulls: deps.pulls }),
    ...responsesRoutes({ ...endpoints, db }),
    ...storedChatRoutes({ db }),
    ...conversationRoutes({ db, now }),
    ...datasetRoutes({
      home,
      now,
      inUse(dataset) {
        const [job, evaluation] = [jobs.userOf({ dataset }), evaluations.userOf(dataset)]
        return (job && `job ${job}`) ?? (evaluation && `evaluation ${evaluation}`)
      },
      uploadedFile,
      conversations: () => storedTurns(db),
      models,
    }),
    ...adapterRoutes({
      models,
      adapters,
      conversion: {
        home,
        script: deps.converterScript,
        log: log.child('converter'),
        threads: Math.max(1, cores - 1),
      },
    }),
    ...fileRoutes(deps.files),
    ...fineTuningRoutes({ jobs }),
    ...trainingRoutes({ home, jobs, schedules, samples }),
    ...evaluationRoutes({ evaluations, abTests: deps.abTests }),
    ...keyRoutes({ db, now, access: deps.access }),
    ...settingsRoutes({ ...deps.settings, db, now }),
  ]
}
