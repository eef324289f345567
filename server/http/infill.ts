/** POST /infill in llama-server's form, so that the editors' completion clients for it work with the hub. */
import { HubError } from '../lib/error.ts'
import { InfillRequest, InfillResponse, SAMPLERS, type Sampler } from '../wire/completions.ts'
import type { ModelFile } from '../wire/model.ts'
import type { Generate, GenerateEvent, Sampling } from '../wire/worker.ts'
import {
  checkGenerate,
  type Done,
  type EndpointDeps,
  modelOr,
  toEngine,
  toFormat,
  toSampling,
  toStop,
  unfinished,
  variantOf,
  withLease,
} from './generate.ts'
import { type Route, route } from './route.ts'

export function infillRoutes(deps: EndpointDeps): Route[] {
  return [
    route({
      method: 'POST',
      path: '/infill',
      summary: 'Fill the gap between a prefix and a suffix',
      tag: 'llama-server',
      scope: 'use',
      asksModel: true,
      request: InfillRequest,
      response: InfillResponse,
      chunk: InfillResponse,
      async handler({ body, signal, stream }) {
        const model = variantOf(deps, modelOr(deps, body.model, 'code'), {})
        const prepare = toInfill(body)
        const sse = body.stream === true ? stream() : undefined
        return withLease(deps.models, model, signal, async lease => {
          const request = prepare(lease.model)
          checkGenerate(lease, request, { prompt: 'model', suffix: 'model' })
          const settings = settingsOf(request, lease.info.contextTokens)
          let content = ''
          let end: Extract<GenerateEvent, { type: 'end' }> | undefined
          let done: Done | undefined
          const tokens: number[] = []
          for await (const event of lease.generate(request, signal)) {
            if (event.type === 'end') end = event
            else if (event.type === 'done') done = event
            else if (event.type === 'delta') {
              const text = (event.reasoning ?? '') + (event.content ?? '')
              if (body.return_tokens === true) tokens.push(...(event.tokens ?? []))
              if (sse === undefined) content += text
              else if (text !== '') {
                const wait = sse.frame(`data: {"index":0,"content":${JSON.stringify(text)},"stop":false}\n\n`)
                if (wait !== undefined) await wait
              }
            }
          }
          if (end === undefined || done === undefined) throw unfinished()
          const answer = pick(body.response_fields, {
            index: 0,
            content,
            stop: true,
            model: lease.model.id,
            ...(body.return_tokens === true && { tokens }),
            tokens_predicted: done.usage.completionTokens,
            tokens_evaluated: done.usage.promptTokens,
            tokens_cached: done.usage.promptTokens + done.usage.completionTokens,
            truncated: false,
            stop_type: end.stop !== undefined ? 'word' : end.finishReason === 'length' ? 'limit' : 'eos',
            stopping_word: end.stop ?? '',
            generation_settings: settings,
            timings: done.timings,
          })
          if (sse === undefined) return answer
          sse.send(JSON.stringify(answer))
          return sse
        })
      },
    }),
  ]
}

/** @throws HubError naming the parameter */
export function toInfill(body: InfillRequest): (file: ModelFile) => Generate {
  const off = switchedOff(body.samplers)
  const fixed: Omit<Generate, 'sampling'> = {
    prompt: {
      type: 'infill',
      prefix: body.input_prefix,
      suffix: body.input_suffix,
      prompt: body.prompt ?? '',
      extra: (body.input_extra ?? []).map(({ filename, text }) => ({ filename: filename ?? '', text })),
    },
    format: toFormat(body.grammar, { type: 'text' }),
    stop: toStop(body.stop),
    n: 1,
    ...(typeof body.n_predict === 'number' && body.n_predict >= 0 && { maxTokens: body.n_predict }),
    ...(body.n_indent ? { minIndent: body.n_indent } : {}),
    ...toEngine(body),
  }
  // What the request sets itself stands; what its list of samplers leaves out is off, whatever the model's card says.
  return file => ({
    ...fixed,
    sampling: { ...toSampling(body, file), ...off, ...toSampling(body, { ...file, sidecar: {} }) },
  })
}

/** The value that takes each sampler out of the chain. */
const OFF: { [name in Sampler]: Sampling } = {
  penalties: { repeatPenalty: 1, frequencyPenalty: 0, presencePenalty: 0 },
  dry: { dryMultiplier: 0 },
  top_n_sigma: { topNSigma: -1 },
  top_k: { topK: 0 },
  typ_p: { typicalP: 1 },
  top_p: { topP: 1 },
  min_p: { minP: 0 },
  xtc: { xtcProbability: 0 },
  temperature: { temperature: 1 },
  // Infill's own step belongs to every fill-in-the-middle prompt.
  infill: {},
}

function switchedOff(samplers: readonly Sampler[] | null | undefined): Sampling {
  // An empty list comes with requests that only warm the prompt cache.
  if (!samplers || samplers.length === 0) return {}
  const places = samplers.map(name => SAMPLERS.indexOf(name))
  if (places.some((place, at) => at > 0 && place <= places[at - 1]!)) {
    throw new HubError('invalid_request', `'samplers' runs in this order only: ${SAMPLERS.join(', ')}.`, {
      param: 'samplers',
    })
  }
  return Object.assign({}, ...SAMPLERS.filter(name => !samplers.includes(name)).map(name => OFF[name]))
}

function settingsOf(request: Generate, contextTokens: number): { [name: string]: unknown } {
  const { sampling } = request
  return {
    n_ctx: contextTokens,
    n_predict: request.maxTokens ?? -1,
    stop: request.stop,
    temperature: sampling.temperature,
    top_k: sampling.topK,
    top_p: sampling.topP,
    min_p: sampling.minP,
    seed: sampling.seed,
  }
}

/** Only the named fields, each under the very path that named it; unknown paths are left out, as llama-server does. */
function pick(fields: readonly string[] | null | undefined, answer: { [name: string]: unknown }): InfillResponseOut {
  if (!fields || fields.length === 0) return answer
  const picked: [string, unknown][] = []
  for (const field of fields) {
    let value: unknown = answer
    for (const part of field.split('/')) {
      value =
        typeof value === 'object' && value !== null && Object.hasOwn(value, part)
          ? (value as { [name: string]: unknown })[part]
          : undefined
    }
    if (value !== undefined) picked.push([field, value])
  }
  return Object.fromEntries(picked)
}
type InfillResponseOut = { [name: string]: unknown }
