/** /openapi.json, the pages of /docs and the start page, every byte from this machine. */
import { createRequire } from 'node:module'
import { dirname } from 'node:path'
import type { Express, Response } from 'express'
import { HubError } from '../lib/error.ts'
import { openApi } from './openapi.ts'
import type { Route } from './route.ts'

const ASSETS = ['swagger-ui.css', 'swagger-ui-bundle.js']

/** No script or style in the page itself, and nothing from elsewhere; the viewer sets style attributes. */
const CSP = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self' 'unsafe-inline'",
  "img-src 'self' data:",
  "font-src 'self' data:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ')

const DOCS_PAGE = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>AI Backend Hub: API</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/docs/swagger-ui.css">
</head>
<body>
<div id="docs"></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
`

/** `validatorUrl` is off: by default the viewer asks a site outside to judge the document. */
const DOCS_START = `SwaggerUIBundle({ url: '/openapi.json', dom_id: '#docs', deepLinking: true, validatorUrl: null })
`

const START_PAGE = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>AI Backend Hub</title>
<link rel="icon" href="data:,">
</head>
<body>
<h1>AI Backend Hub</h1>
<p>OpenAI clients use the base address <code>/v1</code> of this server.</p>
<ul>
<li><a href="/docs">API documentation</a></li>
<li><a href="/openapi.json">OpenAPI document</a></li>
<li><a href="/v1/models">Models</a></li>
<li><a href="/v1/models/status">Models and their states</a></li>
<li><a href="/v1/system/status">System</a></li>
<li><a href="/health">Health</a></li>
</ul>
</body>
</html>
`

export function mountDocs(app: Express, table: { routes: readonly Route[]; version: string }): void {
  // Made when it is first asked for: starting the hub does not wait for it.
  let document: string | undefined
  const text = (response: Response, type: string, body: string): void => {
    response.setHeader('Content-Security-Policy', CSP)
    response.setHeader('Cache-Control', 'no-cache')
    response.type(type).send(body)
  }
  const pages: [path: string, send: (response: Response) => void][] = [
    ['/', response => text(response, 'html', START_PAGE)],
    ['/docs', response => text(response, 'html', DOCS_PAGE)],
    ['/docs/start.js', response => text(response, 'js', DOCS_START)],
    [
      '/openapi.json',
      response => {
        document ??= JSON.stringify(openApi(table))
        text(response, 'json', document)
      },
    ],
    ...ASSETS.map((name): [string, (response: Response) => void] => [
      `/docs/${name}`,
      response => {
        const root = dirname(createRequire(import.meta.url).resolve('swagger-ui-dist/package.json'))
        response.sendFile(name, { root })
      },
    ]),
  ]
  for (const [path, send] of pages) {
    app.get(path, (_request, response) => send(response))
    app.all(path, (request, response) => {
      response.setHeader('Allow', 'GET, HEAD')
      throw new HubError('method_not_allowed', `${request.method} is not allowed on ${path}. Use GET.`)
    })
  }
}
