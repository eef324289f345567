/** /tokenize, /detokenize and /apply-template in llama-server's form. */
import { ApplyTemplateRequest, ApplyTemplateResponse } from '../wire/chat.ts'
import { DetokenizeRequest, DetokenizeResponse, TokenizeRequest, TokenizeResponse } from '../wire/completions.ts'
import { toMessage, toTools } from './chat.ts'
import { checkTokens, type EndpointDeps, modelOr, withLease } from './generate.ts'
import { type Route, route } from './route.ts'

const common = { method: 'POST', tag: 'llama-server', scope: 'use' } as const

export function tokenRoutes(deps: EndpointDeps): Route[] {
  return [
    route({
      ...common,
      path: '/tokenize',
      summary: 'Tokens of a text',
      request: TokenizeRequest,
      response: TokenizeResponse,
      handler({ body, signal }) {
        return withLease(deps.models, modelOr(deps, body.model, 'chat'), signal, async lease => {
          const { tokens, pieces } = await lease.ask(
            {
              type: 'tokenize',
              text: body.content,
              addSpecial: body.add_special ?? false,
              parseSpecial: body.parse_special ?? true,
            },
            signal,
          )
          if (body.with_pieces !== true) return { tokens }
          return { tokens: tokens.map((id, at) => ({ id, piece: pieces[at] ?? '' })) }
        })
      },
    }),
    route({
      ...common,
      path: '/detokenize',
      summary: 'Text of tokens',
      request: DetokenizeRequest,
      response: DetokenizeResponse,
      handler({ body, signal }) {
        return withLease(deps.models, modelOr(deps, body.model, 'chat'), signal, async lease => {
          checkTokens(lease, body.tokens, 'tokens')
          const { text } = await lease.ask({ type: 'detokenize', tokens: body.tokens }, signal)
          return { content: text }
        })
      },
    }),
    route({
      ...common,
      path: '/apply-template',
      summary: "The prompt that the model's chat template makes of messages",
      request: ApplyTemplateRequest,
      response: ApplyTemplateResponse,
      handler({ body, signal }) {
        const prompt = {
          type: 'chat' as const,
          messages: body.messages.map(toMessage),
          ...toTools(body.tools, body.tool_choice),
          parallelToolCalls: true,
          templateVariables: body.chat_template_kwargs ?? {},
        }
        return withLease(deps.models, modelOr(deps, body.model, 'chat'), signal, async lease => {
          const { text, tokens } = await lease.ask({ type: 'render', prompt }, signal)
          return { prompt: text, tokens }
        })
      },
    }),
  ]
}
