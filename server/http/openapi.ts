/** The OpenAPI 3.1 document, made from the route table. */
import * as z from 'zod'
import { ErrorOut } from '../wire/common.ts'
import { openApiPath, type Route } from './route.ts'

type Json = { [key: string]: unknown }

const API_KEY = {
  type: 'http',
  scheme: 'bearer',
  description:
    'An API key of this hub, sk-hub-... It is demanded when the hub listens beyond loopback, or requireApiKey is always.',
}
/** With a key, or where none is demanded without. */
const SECURITY = [{ apiKey: [] }, {}]

/** Every request, response and event of the table, with its schemas as components. */
export function openApi(table: { routes: readonly Route[]; version: string }): Json {
  const names = { input: new Map<z.ZodType, string>(), output: new Map<z.ZodType, string>([[ErrorOut, 'Error']]) }
  const ref = (schema: z.ZodType, io: 'input' | 'output', name: string): Json => {
    const known = names[io].get(schema) ?? name
    names[io].set(schema, known)
    return { $ref: `#/components/schemas/${known}` }
  }
  const paths: { [path: string]: Json } = {}
  for (const route of table.routes) {
    const path = openApiPath(route.path)
    const id = operationId(route)
    const name = id.charAt(0).toUpperCase() + id.slice(1)
    const parameters = [...toParameters(route.params, 'path'), ...toParameters(route.query, 'query')]
    const content: Json = { 'application/json': { schema: ref(route.response, 'output', `${name}Response`) } }
    if (route.chunk !== undefined) {
      content['text/event-stream'] = { schema: ref(route.chunk, 'output', `${name}Event`) }
    }
    paths[path] = {
      ...paths[path],
      [route.method.toLowerCase()]: {
        operationId: id,
        summary: route.summary,
        tags: [route.tag],
        ...(route.scope !== 'public' && { security: SECURITY, 'x-role': route.scope === 'manage' ? 'admin' : 'use' }),
        ...(parameters.length > 0 && { parameters }),
        ...(route.request !== undefined && {
          requestBody: {
            required: true,
            content: { 'application/json': { schema: ref(route.request, 'input', `${name}Request`) } },
          },
        }),
        ...(route.multipart !== undefined && {
          requestBody: {
            required: true,
            content: { 'multipart/form-data': { schema: ref(route.multipart, 'input', `${name}Request`) } },
          },
        }),
        responses: {
          200: { description: 'OK', content },
          default: {
            description: 'Error',
            content: { 'application/json': { schema: ref(ErrorOut, 'output', 'Error') } },
          },
        },
      },
    }
  }
  return {
    openapi: '3.1.0',
    info: { title: 'AI Backend Hub', version: table.version, license: { name: 'MIT', identifier: 'MIT' } },
    servers: [{ url: '/' }],
    paths,
    components: {
      securitySchemes: { apiKey: API_KEY },
      schemas: { ...schemas(names.input, 'input'), ...schemas(names.output, 'output') },
    },
  }
}

/** `POST /v1/chat/completions` is `postV1ChatCompletions`. */
function operationId(route: Route): string {
  const words = route.path.split(/[^a-zA-Z0-9]+/).filter(word => word !== '')
  return route.method.toLowerCase() + words.map(word => word.charAt(0).toUpperCase() + word.slice(1)).join('')
}

function schemas(names: ReadonlyMap<z.ZodType, string>, io: 'input' | 'output'): Json {
  const registry = z.registry<{ id: string }>()
  for (const [schema, id] of names) registry.add(schema, { id })
  const made = z.toJSONSchema(registry, { io, unrepresentable: 'any', uri: id => `#/components/schemas/${id}` })
  return Object.fromEntries(
    Object.entries(made.schemas).map(([name, schema]) => {
      const { $schema: _, $id: __, id: ___, ...rest } = schema as Json
      return [name, rest]
    }),
  )
}

function toParameters(schema: z.ZodType | undefined, place: 'path' | 'query'): Json[] {
  if (schema === undefined) return []
  const { properties = {}, required = [] } = z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' })
  return Object.entries(properties).map(([name, property]) => ({
    name,
    in: place,
    required: place === 'path' || required.includes(name),
    schema: property,
  }))
}
