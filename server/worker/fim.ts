/** How a family of code models writes a fill-in-the-middle prompt: its tokens, their order, and how it tells files apart. */
import type { Native } from '../native/llama.ts'
import type { Pointer } from '../native/structs.ts'

/** What is asked of a model's vocabulary to know its family. */
type Vocabulary = {
  native: Native
  vocab: Pointer
  metadata(key: string): string | undefined
  tokenize(text: string, addSpecial: boolean, parseSpecial: boolean): Int32Array
  piece(token: number, special: boolean): Buffer
}

export type Fim = {
  prefix: number
  suffix: number
  /** -1 where the middle simply goes on behind the prefix. */
  middle: number
  suffixFirst: boolean
  files: FileMarks
  /** Tokens that end the middle beside those that end every generation. */
  ends: number[]
}

/** A piece of a prompt: control tokens by id, texts to be tokenized. */
export type Piece = number | string

export type FileMarks = {
  /** Stands once before all files. */
  head: Piece[]
  /** A whole other file. */
  other(name: string, text: string): Piece[]
  /** Stands before the file itself, outside of the FIM tokens, and just behind the prefix token. */
  own(name: string): { outside: Piece[]; inside: Piece[] }
  /** Other files stand behind the prefix token: the family knows nothing outside of the FIM tokens. */
  inside: boolean
  /** The file's own name is given without other files too. */
  alwaysNamed: boolean
}

const REPOSITORY = 'workspace'

/** Qwen2.5-Coder's README: `<|repo_name|>NAME\n<|file_sep|>PATH\nTEXT<|file_sep|>PATH\n<|fim_prefix|>`. */
function qwen(repository: number, separator: number): FileMarks {
  return {
    head: repository < 0 ? [] : [repository, `${REPOSITORY}\n`],
    other: (name, text) => [separator, `${name}\n${text}`],
    own: name => ({ outside: [separator, `${name}\n`], inside: [] }),
    inside: false,
    alwaysNamed: true,
  }
}

/** The StarCoder2 paper (arXiv 2402.19173, 5.1): `<repo_name>NAME<file_sep>PATH\nTEXT<file_sep><fim_prefix>PATH\n`. */
function starcoder2(repository: number, separator: number): FileMarks {
  return {
    head: repository < 0 ? [] : [repository, REPOSITORY],
    other: (name, text) => [separator, `${name}\n${text}`],
    own: name => ({ outside: [separator], inside: [`${name}\n`] }),
    inside: false,
    alwaysNamed: true,
  }
}

/** Mellum's card: `<filename>PATH\nTEXT<filename>PATH\n<fim_suffix>`; StarCoder and Granite have the token too, and document FIM without it. */
function filename(repository: number, token: number, alwaysNamed: boolean): FileMarks {
  return {
    head: repository < 0 ? [] : [repository, REPOSITORY],
    other: (name, text) => [token, `${name}\n${text}`],
    own: name => ({ outside: [token, `${name}\n`], inside: [] }),
    inside: false,
    alwaysNamed,
  }
}

/** CodeGemma's report: `PATH\nTEXT<|file_separator|>PATH\n<|fim_prefix|>`. */
function gemma(separator: number): FileMarks {
  return {
    head: [],
    other: (name, text) => [`${name}\n${text}`, separator],
    own: name => ({ outside: [`${name}\n`], inside: [] }),
    inside: false,
    alwaysNamed: false,
  }
}

/** Codestral's form in Mistral's own plugin: `[PREFIX]+++++ PATH\nTEXT\n+++++ PATH\n`. */
const CODESTRAL: FileMarks = {
  head: [],
  other: (name, text) => [`+++++ ${name}\n${text}\n\n`],
  own: name => ({ outside: [], inside: [`+++++ ${name}\n`] }),
  inside: true,
  alwaysNamed: false,
}

/** Without a mark of its own, as DeepSeek-Coder's README joins files: `#PATH\nTEXT\n#PATH\n`. */
const PLAIN: FileMarks = {
  head: [],
  other: (name, text) => [`#${name}\n${text}\n`],
  own: name => ({ outside: [], inside: [`#${name}\n`] }),
  inside: true,
  alwaysNamed: false,
}

/** The form of a model's family by its vocabulary, and by its name where the vocabulary does not tell; undefined for one that knows none. */
export function readFim(model: Vocabulary): Fim | undefined {
  const { native, vocab } = model
  const one = (text: string): number => {
    const tokens = model.tokenize(text, false, true)
    // A vocabulary that puts a space in front gives two.
    const last = tokens.at(-1) ?? -1
    return last >= 0 && model.piece(last, true).toString('utf8') === text ? last : -1
  }
  const first = (...texts: string[]): number => texts.map(one).find(token => token >= 0) ?? -1
  const name = `${model.metadata('general.name') ?? ''} ${model.metadata('general.basename') ?? ''}`.toLowerCase()

  // Vocabularies of other Mistral models have the tokens as well, and no training for them.
  const isCodestral = name.includes('codestral')
  const seed = [one('<[fim-prefix]>'), one('<[fim-suffix]>'), one('<[fim-middle]>')] as const
  const [prefix, suffix, middle] = isCodestral
    ? [one('[PREFIX]'), one('[SUFFIX]'), -1]
    : seed.every(token => token >= 0)
      ? seed
      : [native.vocab_fim_pre(vocab), native.vocab_fim_suf(vocab), native.vocab_fim_mid(vocab)]
  if (prefix < 0 || suffix < 0 || (middle < 0 && !isCodestral)) return undefined

  const isMellum = name.includes('mellum')
  const repository = first('<|repo_name|>', '<repo_name>', '<|reponame|>', '<reponame>')
  const ofQwen = native.vocab_fim_sep(vocab)
  const ofStarcoder = one('<file_sep>')
  const ofGemma = one('<|file_separator|>')
  const named = first('<filename>', '<|filename|>')
  const files = isCodestral
    ? CODESTRAL
    : isMellum && named >= 0
      ? filename(-1, named, true)
      : ofQwen >= 0
        ? qwen(native.vocab_fim_rep(vocab), ofQwen)
        : ofStarcoder >= 0
          ? starcoder2(repository, ofStarcoder)
          : ofGemma >= 0
            ? gemma(ofGemma)
            : named >= 0
              ? filename(repository, named, false)
              : PLAIN
  const suffixFirst = isCodestral || isMellum || seed.every(token => token >= 0)
  return {
    prefix,
    suffix,
    middle,
    suffixFirst,
    files,
    ends: [prefix, suffix, middle, ofStarcoder, ofGemma, named].filter(token => token >= 0),
  }
}
