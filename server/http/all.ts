/** All routes of the HTTP door, one row per group of endpoints. */
import { type ChatDeps, chatRoutes } from './chat.ts'
import { completionRoutes } from './completions.ts'
import { embeddingRoutes } from './embeddings.ts'
import type { EndpointDeps } from './generate.ts'
import { infillRoutes } from './infill.ts'
import { type ModelDeps, modelRoutes } from './models.ts'
import type { Route } from './route.ts'
import { type SystemDeps, systemRoutes } from './system.ts'
import { tokenRoutes } from './tokens.ts'

export type RouteDeps = EndpointDeps & ModelDeps & SystemDeps & ChatDeps

export function coreRoutes(deps: RouteDeps): Route[] {
  return [
    ...systemRoutes(deps),
    ...modelRoutes(deps),
    ...chatRoutes(deps),
    ...completionRoutes(deps),
    ...embeddingRoutes(deps),
    ...infillRoutes(deps),
    ...tokenRoutes(deps),
  ]
}
