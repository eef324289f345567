/** Compiles and renders chat templates: the Jinja library, plus the Python behaviour that real templates lean on and it lacks. */
import { Environment, Interpreter, parse, tokenize } from '@huggingface/jinja'

/** Thrown by a template itself, through raise_exception. */
export class TemplateRaised extends Error {}

export type CompiledTemplate = { render(variables: { [name: string]: unknown }, now: Date): string }

/** A value while a template runs; `type` is the library's own name of its kind. */
type Value = { type: string; value: unknown; toString(): string }
type Native = (args: Value[]) => Value
type Node = { type: string; [field: string]: unknown }

/** Longest list that range() makes: a template comes out of a downloaded file and must not exhaust the memory. */
const MAX_RANGE = 100_000

const scratch = new Environment()
/** The library exports none of its value classes, so they are taken from values that it made. */
const wrap = (name: string, value: unknown): Value => scratch.set(name, value) as unknown as Value
const text = wrap('text', '').constructor as new (value: string) => Value
const list = wrap('list', []).constructor as new (value: Value[]) => Value
const integer = wrap('integer', 0).constructor as new (value: number) => Value
const truth = wrap('truth', true).constructor as new (value: boolean) => Value
const mapping = wrap('mapping', {}).constructor as new (value: Map<string, Value>) => Value
const native = wrap('native', () => null).constructor as new (value: Native) => Value
const nothing = wrap('nothing', null)

const isText = (value: Value | undefined): value is Value & { value: string } => value?.type === 'StringValue'
const isMapping = (value: Value | undefined): value is Value & { value: Map<string, Value> } =>
  value?.type === 'ObjectValue'
const isList = (value: Value | undefined): value is Value & { value: Value[] } =>
  value?.type === 'ArrayValue' || value?.type === 'TupleValue'
const isUndefined = (value: Value | undefined): boolean => value === undefined || value.type === 'UndefinedValue'

/** @throws the library's error when the text is no Jinja template */
export function compileTemplate(source: string): CompiledTemplate {
  // The training-only tag {% generation %} says nothing about the prompt; an `if` in its place keeps the white space rules.
  const plain = source
    .replace(/\{%(-?)\s*generation\s*(-?)%\}/g, '{%$1 if true $2%}')
    .replace(/\{%(-?)\s*endgeneration\s*(-?)%\}/g, '{%$1 endif $2%}')
  const program = parse(tokenize(plain, { lstrip_blocks: true, trim_blocks: true }))
  rewrite(program as unknown as Node)
  return {
    render(variables, now) {
      const environment = new Environment()
      const set = (name: string, value: unknown) => environment.set(name, value)
      for (const [name, value] of [
        ['false', false],
        ['true', true],
        ['none', null],
        ['False', false],
        ['True', true],
        ['None', null],
      ] as const)
        set(name, value)
      set('raise_exception', (message: unknown) => {
        throw new TemplateRaised(String(message))
      })
      set('range', range)
      set('strftime_now', (format: unknown) => strftime(now, String(format)))
      for (const [name, run] of Object.entries(METHODS)) environment.setVariable(method(name), as(new native(run)))
      for (const [name, run] of Object.entries(FILTERS)) environment.setVariable(filter(name), as(new native(run)))
      environment.setVariable(ITERATE, as(new native(iterate)))
      environment.setVariable(KEY, as(new native(key)))
      environment.setVariable(CONCAT, as(new native(args => new text(args.map(printed).join('')))))
      for (const [name, value] of Object.entries(variables)) if (value !== undefined) set(name, value)
      return String((new Interpreter(environment).run(program) as unknown as Value).value)
    },
  }
}

type Declared = Parameters<Environment['setVariable']>[1]
const as = (value: Value): Declared => value as unknown as Declared

// Names that no template can spell by accident.
const method = (name: string): string => `__method_${name}`
const filter = (name: string): string => `__filter_${name}`
const ITERATE = '__iterate'
const CONCAT = '__concat'
const KEY = '__key'

/** What `undefined` counts as in front of a filter: Python's undefined is an empty text, list or mapping as needed. */
const SOFT: { [filterName: string]: string } = {
  trim: 'soft_text',
  upper: 'soft_text',
  lower: 'soft_text',
  title: 'soft_text',
  capitalize: 'soft_text',
  replace: 'soft_text',
  indent: 'soft_text',
  length: 'soft_list',
  join: 'soft_list',
  selectattr: 'soft_list',
  rejectattr: 'soft_list',
  sort: 'soft_list',
  unique: 'soft_list',
  reverse: 'soft_list',
  map: 'soft_list',
  items: 'soft_mapping',
}

/** Points calls of Python methods, some filters, `for` and `~` at the functions below. */
function rewrite(node: Node): void {
  for (const [field, child] of Object.entries(node)) if (field !== 'loopvar' && field !== 'assignee') visit(child)
  // The library cannot unpack a tuple inside a list; nothing in a template tells the two apart.
  if (node.type === 'TupleLiteral') node.type = 'ArrayLiteral'
  if (node.type === 'ObjectLiteral') {
    // The library's mappings have keys of text only.
    for (const key of (node.value as Map<Node, Node>).keys()) {
      if (key.type === 'IntegerLiteral') become(key, { type: 'StringLiteral', value: String(key.value) })
    }
    return
  }
  if (node.type === 'For') {
    const over = node.iterable as Node
    if (over.type === 'SelectExpression') over.lhs = call(ITERATE, [over.lhs as Node])
    else node.iterable = call(ITERATE, [over])
    return
  }
  if (node.type === 'BinaryExpression' && (node.operator as { value: string }).value === '~') {
    become(node, call(CONCAT, [node.left as Node, node.right as Node]))
    return
  }
  if (node.type === 'MemberExpression' && node.computed === true) {
    const property = node.property as Node
    if (!['SliceExpression', 'StringLiteral', 'IntegerLiteral'].includes(property.type))
      node.property = call(KEY, [property])
    return
  }
  if (node.type === 'CallExpression') {
    const callee = node.callee as Node
    if (callee.type !== 'MemberExpression' || callee.computed === true) return
    const name = (callee.property as Node).value as string
    if (Object.hasOwn(METHODS, name))
      become(node, call(method(name), [callee.object as Node, ...(node.args as Node[])]))
    return
  }
  if (node.type === 'FilterExpression') {
    const how = node.filter as Node
    const name = (how.type === 'Identifier' ? how.value : (how.callee as Node).value) as string
    const args = how.type === 'Identifier' ? [] : (how.args as Node[])
    const own = name === 'map' ? args[0]?.type === 'StringLiteral' : name !== 'dictsort' || args.length === 0
    if (Object.hasOwn(FILTERS, name) && own) {
      become(node, call(filter(name), [node.operand as Node, ...args]))
      return
    }
    if (Object.hasOwn(SOFT, name)) node.operand = call(filter(SOFT[name]!), [node.operand as Node])
  }
}

function visit(child: unknown): void {
  if (Array.isArray(child)) child.forEach(visit)
  else if (child instanceof Map) {
    for (const [key, value] of child) {
      visit(key)
      visit(value)
    }
  } else if (child !== null && typeof child === 'object' && typeof (child as Node).type === 'string') {
    rewrite(child as Node)
  }
}

function call(name: string, args: Node[]): Node {
  return { type: 'CallExpression', callee: { type: 'Identifier', value: name }, args }
}

/** Turns a node into another in place: its parent holds a reference to it. */
function become(node: Node, other: Node): void {
  for (const key of Object.keys(node)) delete node[key]
  Object.assign(node, other)
}

/** Text of a value as `~` and `|string` print it; undefined prints nothing. */
function printed(value: Value | undefined): string {
  if (value === undefined || isUndefined(value)) return ''
  if (value.type === 'NullValue') return 'None'
  if (isMapping(value)) return JSON.stringify(plainValue(value))
  return value.toString()
}

function plainValue(value: Value): unknown {
  if (isMapping(value)) return Object.fromEntries([...value.value].map(([key, item]) => [key, plainValue(item)]))
  if (isList(value)) return value.value.map(plainValue)
  return isUndefined(value) ? null : value.value
}

function iterate([over]: Value[]): Value {
  if (over === undefined || isUndefined(over)) return new list([])
  if (isText(over)) return new list([...over.value].map(character => new text(character)))
  return over
}

/** What stands in brackets: where it cannot be a key, it is one that nothing has, so that the outcome is undefined. */
function key([given]: Value[]): Value {
  return given !== undefined && (isText(given) || typeof given.value === 'number') ? given : new text('\u0000')
}

function own(value: Value | undefined, name: string): Value & { value: string } {
  if (!isText(value)) throw new Error(`${name}() is called on ${value?.type ?? 'nothing'}, which has no such method`)
  return value
}

const stripped =
  (name: string, start: boolean, end: boolean): Native =>
  ([self, characters]) => {
    let { value } = own(self, name)
    if (!isText(characters)) return new text(start ? (end ? value.trim() : value.trimStart()) : value.trimEnd())
    const set = new Set(characters.value)
    if (start) while (value !== '' && set.has(value[0]!)) value = value.slice(1)
    if (end) while (value !== '' && set.has(value.at(-1)!)) value = value.slice(0, -1)
    return new text(value)
  }

const pairs = (map: Map<string, Value>): Value =>
  new list([...map].map(([key, value]) => new list([new text(key), value])))

function entries(value: Value | undefined, name: string): Map<string, Value> {
  if (isMapping(value)) return value.value
  if (isUndefined(value)) return new Map()
  throw new Error(`${name}() is called on ${value?.type}, which has no such method`)
}

/** Python's methods that the library lacks, ignores the arguments of, or hides behind a key of the same name. */
const METHODS: { [name: string]: Native } = {
  strip: stripped('strip', true, true),
  lstrip: stripped('lstrip', true, false),
  rstrip: stripped('rstrip', false, true),
  items: ([self]) => pairs(entries(self, 'items')),
  keys: ([self]) => new list([...entries(self, 'keys').keys()].map(key => new text(key))),
  values: ([self]) => new list([...entries(self, 'values').values()]),
  get: ([self, key, otherwise]) => entries(self, 'get').get(String(key?.value)) ?? otherwise ?? nothing,
  append: ([self, item]) => {
    if (isList(self) && item !== undefined) self.value.push(item)
    return nothing
  },
  pop: ([self, at]) => {
    if (!isList(self)) throw new Error(`pop() is called on ${self?.type}, which has no such method`)
    return self.value.splice(typeof at?.value === 'number' ? at.value : -1, 1)[0] ?? nothing
  },
  find: ([self, what]) => new integer(own(self, 'find').value.indexOf(own(what, 'find').value)),
  count: ([self, what]) => new integer(own(self, 'count').value.split(own(what, 'count').value).length - 1),
  join: ([self, parts]) => new text(isList(parts) ? parts.value.map(printed).join(own(self, 'join').value) : ''),
  format: ([self, ...values]) => {
    let next = 0
    return new text(
      own(self, 'format').value.replace(/\{(\d*)\}/g, (_, at) => printed(values[at === '' ? next++ : at])),
    )
  },
  isdigit: ([self]) => new truth(/^\d+$/.test(own(self, 'isdigit').value)),
  removeprefix: ([self, prefix]) => {
    const { value } = own(self, 'removeprefix')
    const first = own(prefix, 'removeprefix').value
    return new text(value.startsWith(first) ? value.slice(first.length) : value)
  },
  removesuffix: ([self, suffix]) => {
    const { value } = own(self, 'removesuffix')
    const last = own(suffix, 'removesuffix').value
    return new text(last !== '' && value.endsWith(last) ? value.slice(0, -last.length) : value)
  },
}

const MAPPED: { [filterName: string]: (value: Value) => Value } = {
  upper: value => new text(printed(value).toUpperCase()),
  lower: value => new text(printed(value).toLowerCase()),
  trim: value => new text(printed(value).trim()),
  string: value => new text(printed(value)),
  tojson: value => new text(JSON.stringify(plainValue(value))),
}

const FILTERS: { [name: string]: Native } = {
  soft_text: ([value]) => (value === undefined || isUndefined(value) ? new text('') : value),
  soft_list: ([value]) =>
    value === undefined || isUndefined(value) || value.type === 'NullValue' ? new list([]) : value,
  soft_mapping: ([value]) => (value === undefined || isUndefined(value) ? new mapping(new Map()) : value),
  string: ([value]) => new text(printed(value)),
  dictsort: ([value]) => {
    const items = [...entries(value, 'dictsort')]
    // Keys that were numbers before they became text are numbers again.
    if (items.length > 0 && items.every(([key]) => /^-?\d+$/.test(key))) {
      const numbers = items.map(([key, item]) => [Number(key), item] as const).sort(([a], [b]) => a - b)
      return new list(numbers.map(([key, item]) => new list([new integer(key), item])))
    }
    return pairs(new Map(items.sort(([a], [b]) => (a.toLowerCase() < b.toLowerCase() ? -1 : 1))))
  },
  list: ([value]) => {
    if (isMapping(value)) return new list([...value.value.keys()].map(key => new text(key)))
    return isList(value) ? value : iterate(value === undefined ? [] : [value])
  },
  map: ([values, name]) => {
    const each = isText(name) && Object.hasOwn(MAPPED, name.value) ? MAPPED[name.value] : undefined
    if (each === undefined) throw new Error(`the filter map('${String(name?.value)}') is not known`)
    return new list(isList(values) ? values.value.map(each) : [])
  },
}

function range(first: number, end?: number, step = 1): number[] {
  const [from, to] = end === undefined ? [0, first] : [first, end]
  const length = step === 0 ? 0 : Math.max(0, Math.ceil((to - from) / step))
  if (length > MAX_RANGE) throw new Error(`range() of ${length} items is refused; at most ${MAX_RANGE}`)
  return Array.from({ length }, (_, index) => from + index * step)
}

const MONTHS = 'January February March April May June July August September October November December'.split(' ')
const DAYS = 'Sunday Monday Tuesday Wednesday Thursday Friday Saturday'.split(' ')

/** Python's strftime in the C locale and in local time, for the codes that templates use. */
export function strftime(date: Date, format: string): string {
  const two = (value: number) => String(value).padStart(2, '0')
  const codes: { [code: string]: () => string } = {
    Y: () => String(date.getFullYear()),
    y: () => two(date.getFullYear() % 100),
    m: () => two(date.getMonth() + 1),
    d: () => two(date.getDate()),
    e: () => String(date.getDate()).padStart(2),
    B: () => MONTHS[date.getMonth()]!,
    b: () => MONTHS[date.getMonth()]!.slice(0, 3),
    A: () => DAYS[date.getDay()]!,
    a: () => DAYS[date.getDay()]!.slice(0, 3),
    H: () => two(date.getHours()),
    I: () => two(date.getHours() % 12 || 12),
    M: () => two(date.getMinutes()),
    S: () => two(date.getSeconds()),
    p: () => (date.getHours() < 12 ? 'AM' : 'PM'),
    F: () => strftime(date, '%Y-%m-%d'),
    T: () => strftime(date, '%H:%M:%S'),
    '%': () => '%',
  }
  return format.replace(/%(-?)([a-zA-Z%])/g, (whole, bare: string, code: string) => {
    const made = codes[code]?.()
    if (made === undefined) return whole
    return bare === '' ? made : made.replace(/^[0 ]+(?=.)/, '')
  })
}
