/** All that needs the language client's library, in one place that is loaded when a hub is there: it is most of the bundle. */
export {
  CloseAction,
  ErrorAction,
  LanguageClient,
  RevealOutputChannelOn,
  WorkDoneProgress,
} from 'vscode-languageclient/node'
export { SocketReader, SocketWriter } from './transport.ts'
