/** POST /v1/embeddings: vectors of texts or tokens, as numbers or base64. */
import { HubError } from '../lib/error.ts'
import type { Lease } from '../models/models.ts'
import { EmbeddingRequest, EmbeddingResponse } from '../wire/embeddings.ts'
import { checkTokens, type EndpointDeps, withLease } from './generate.ts'
import { type Route, route } from './route.ts'

export function embeddingRoutes(deps: EndpointDeps): Route[] {
  return [
    route({
      method: 'POST',
      path: '/v1/embeddings',
      summary: 'Vectors of texts',
      tag: 'OpenAI',
      scope: 'use',
      asksModel: true,
      request: EmbeddingRequest,
      response: EmbeddingResponse,
      handler({ body, signal }) {
        const inputs = toInputs(body.input)
        return withLease(deps.models, body.model, signal, async (lease): Promise<EmbeddingResponse> => {
          checkModel(lease, body.dimensions ?? undefined)
          for (const input of inputs) if (typeof input !== 'string') checkTokens(lease, input, 'input')
          const { vectors, tokens } = await lease.ask({ type: 'embed', inputs }, signal)
          const total = tokens.reduce((sum, count) => sum + count, 0)
          return {
            object: 'list',
            model: lease.model.id,
            data: vectors.map((vector, index) => ({
              object: 'embedding',
              index,
              embedding: toEmbedding(vector, body.encoding_format ?? 'float', body.dimensions ?? undefined),
            })),
            usage: { prompt_tokens: total, total_tokens: total },
          }
        })
      },
    }),
  ]
}

function toInputs(input: EmbeddingRequest['input']): (string | number[])[] {
  if (typeof input === 'string') return [input]
  return typeof input[0] === 'number' ? [input as number[]] : (input as string[] | number[][])
}

function checkModel(lease: Lease, dimensions: number | undefined): void {
  const { model, info } = lease
  if (!info.canEmbed) {
    throw new HubError('invalid_request', `Model '${model.id}' gives no embeddings. Choose another model.`, {
      param: 'model',
    })
  }
  if (dimensions === undefined || dimensions === info.embeddingSize) return
  if (dimensions > info.embeddingSize) {
    throw new HubError('invalid_request', `Vectors of model '${model.id}' have ${info.embeddingSize} dimensions.`, {
      param: 'dimensions',
    })
  }
  // A cut vector means something only where the model was trained for it (Matryoshka representation learning).
  if (model.sidecar.matryoshka !== true) {
    throw new HubError(
      'invalid_request',
      `Vectors of model '${model.id}' cannot be shortened; leave 'dimensions' out, or say matryoshka: true on the model's card if it was trained so.`,
      { param: 'dimensions' },
    )
  }
}

/** From the worker's base64 to the answer's form; a shortened vector gets its norm of 1 back. */
export function toEmbedding(
  base64: string,
  format: 'float' | 'base64',
  dimensions: number | undefined,
): string | number[] {
  if (format === 'base64' && dimensions === undefined) return base64
  const bytes = Buffer.from(base64, 'base64')
  const values = Array.from({ length: bytes.length / 4 }, (_, at) => bytes.readFloatLE(at * 4))
  const cut = dimensions === undefined ? values : normalize(values.slice(0, dimensions))
  if (format === 'float') return cut
  const out = Buffer.alloc(cut.length * 4)
  for (const [at, value] of cut.entries()) out.writeFloatLE(value, at * 4)
  return out.toString('base64')
}

function normalize(values: number[]): number[] {
  const norm = Math.hypot(...values)
  return norm === 0 ? values : values.map(value => value / norm)
}
