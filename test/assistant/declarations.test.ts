/** Declarations by language family, what is told of names near a cursor, and files that speak of the same things. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { declarationsIn } from '../../server/assistant/declarations.ts'
import { Surroundings } from '../../server/assistant/surroundings.ts'
import { importsOf, Symbols } from '../../server/assistant/symbols.ts'

const FILES: [path: string, text: string, found: string[]][] = [
  [
    'a.ts',
    `/**
 * Adds prices.
 * @param prices in cents
 */
export async function total(
  prices: number[],
): Promise<number> {
  const sum = inner()
  function inner() {}
}
export class Cart<T> extends Base {
  // How many.
  readonly count: number = 0
  constructor(private items: T[]) {
    if (items) return
    this.count = 1
  }
  static async load(id: string): Promise<Cart> {
    for (const a of b) call(a)
  }
}
export type Price = { cents: number }
const rate = 0.2
`,
    [
      ' * Adds prices.\nexport async function total(\n  prices: number[],\n): Promise<number>',
      'export class Cart<T> extends Base',
      'Cart:  // How many.\n  readonly count: number = 0',
      'Cart:  constructor(private items: T[])',
      'Cart:  static async load(id: string): Promise<Cart>',
      'export type Price = { cents: number }',
      'const rate = 0.2',
    ],
  ],
  [
    'm.cjs',
    'exports.run = function () {\n}\nmodule.exports.stop = 1\n',
    ['exports.run = function ()', 'module.exports.stop = 1'],
  ],
  [
    'a.py',
    'MAX = 3\nclass Shape(Base):\n    """A shape."""\n    sides: int\n    def area(self) -> float:\n        """Its area."""\n        x = 1\n        def inner():\n            pass\n\nasync def load(\n    path: str,\n):\n    """Reads a file."""\n    return 1\n',
    [
      'MAX = 3',
      '# A shape.\nclass Shape(Base)',
      'Shape:    sides: int',
      'Shape:# Its area.\n    def area(self) -> float',
      '# Reads a file.\nasync def load(\n    path: str,\n)',
    ],
  ],
  [
    'a.go',
    '// Store keeps things.\ntype Store struct {\n\tname string\n}\n\n// Get finds one.\nfunc (s *Store) Get(id int) (string, error) {\n\tx := 1\n}\nfunc New(name string) *Store {\n}\nconst Limit = 3\n',
    [
      '// Store keeps things.\ntype Store struct',
      'Store:\tname string',
      'Store:// Get finds one.\nfunc (s *Store) Get(id int) (string, error)',
      'func New(name string) *Store',
      'const Limit = 3',
    ],
  ],
  [
    'a.rs',
    '/// A point.\n#[derive(Clone)]\npub struct Point {\n    pub x: f64,\n}\nimpl Point {\n    pub fn len(&self) -> f64 {\n        let y = 1;\n    }\n}\npub(crate) async fn go<T: Into<u8>>(a: T) -> u8 {\n}\n',
    [
      '/// A point.\npub struct Point',
      'Point:    pub x: f64,',
      'impl Point',
      'Point:    pub fn len(&self) -> f64',
      'pub(crate) async fn go<T: Into<u8>>(a: T) -> u8',
    ],
  ],
  [
    'A.java',
    'public final class Account extends Base {\n    private long balance;\n    /** Pays in. */\n    @Override\n    public void deposit(long amount) throws IOException {\n        return;\n    }\n}\n',
    [
      'public final class Account extends Base',
      'Account:    private long balance;',
      'Account:    /** Pays in. */\n    public void deposit(long amount) throws IOException',
    ],
  ],
  [
    'A.cs',
    'public record Person(string Name);\npublic class Repo\n{\n    public async Task<Person> Find(int id)\n    {\n        return await x;\n    }\n}\n',
    ['public record Person(string Name);', 'public class Repo', 'Repo:    public async Task<Person> Find(int id)'],
  ],
  [
    'a.kt',
    'data class User(val name: String)\nfun User.greet(): String = "hi"\n',
    ['data class User(val name: String)', 'fun User.greet(): String = "hi"'],
  ],
  [
    'a.cpp',
    '#define LIMIT 3\n// A node.\nstruct Node {\n    int value;\n    void push(int v);\n};\nstd::vector<int> Node::all(const char * name) const {\n    return go(1);\n}\nstatic int helper(void)\n{\n    if (x) return 1;\n}\n',
    [
      '#define LIMIT 3',
      '// A node.\nstruct Node',
      'Node:    int value;',
      'Node:    void push(int v);',
      'std::vector<int> Node::all(const char * name) const',
      'static int helper(void)',
    ],
  ],
  [
    'a.php',
    '<?php\nfinal class Shop {\n    public function price(int $id): float {\n    }\n}\nfunction help() {\n}\n',
    ['final class Shop', 'Shop:    public function price(int $id): float', 'function help()'],
  ],
  [
    'a.rb',
    '# A cat.\nclass Cat < Animal\n  def speak(loud = false)\n    puts 1\n  end\nend\ndef go!\nend\n',
    ['# A cat.\nclass Cat < Animal', 'Cat:  def speak(loud = false)', 'def go!'],
  ],
  ['a.txt', 'function no() {}\n', []],
  ['min.js', `function a(){}${'x'.repeat(1000)}\n`, []],
]
for (const [path, text, expected] of FILES) {
  test(`declarations of ${path}`, () => {
    const said = ({ owner, text: head }: { owner?: string; text: string }) =>
      (owner === undefined ? '' : `${owner}:`) + head
    assert.deepEqual(declarationsIn(path, text).map(said), expected)
    assert.deepEqual(declarationsIn(path, text.replaceAll('\n', '\r\n')).map(said), expected)
  })
}

test('any text is read without an error, and no head is longer than its few lines', () => {
  const piece = fc.constantFrom(
    'class ',
    'A',
    ' {',
    '\n',
    '\n  ',
    '(',
    ')',
    'def ',
    'x: ',
    '"""',
    '/**',
    ' * ',
    '}',
    'fn ',
    ';',
    'tên',
    '😀',
    '\t',
    '@',
  )
  fc.assert(
    fc.property(
      fc.constantFrom('a.ts', 'a.py', 'a.go', 'a.rs', 'a.cs', 'a.cpp', 'a.php', 'a.rb'),
      fc.array(piece, { maxLength: 60 }),
      (path, pieces) => {
        for (const { text } of declarationsIn(path, pieces.join(''))) assert.ok(text.split('\n').length <= 5)
      },
    ),
    { seed: 3, numRuns: 1000 },
  )
})

test('imports of the languages, with what they come from', () => {
  const head = `import fs, { join as j } from './util/path.ts'
import {
  many,
} from "x"
const { a } = require('./b')
from pkg.mod import Thing, other as o
use crate::store::{Store, Key};
import java.util.List;
using My.Space;
#include "dir/node.h"
`
  assert.deepEqual(Object.fromEntries(importsOf(head)), {
    fs: './util/path.ts',
    join: './util/path.ts',
    j: './util/path.ts',
    many: 'x',
    a: './b',
    Thing: 'pkg.mod',
    other: 'pkg.mod',
    o: 'pkg.mod',
    Store: 'crate::store',
    Key: 'crate::store',
    List: 'java.util.List',
    Space: 'My.Space',
    node: 'dir/node.h',
  })
})

const place = (near: string, head = '') => ({
  uri: 'file:///w/src/main.ts',
  path: 'src/main.ts',
  head,
  near,
  line: near.split('\n').at(-1)!,
})

test('names near the cursor are told with their declarations: imported ones first, a type with its members, own ones not at all', () => {
  const symbols = new Symbols()
  const cart = '/** Things to buy. */\nexport class Cart {\n  add(item: string): void {\n    go()\n  }\n}\n'
  symbols.update('file:///w/src/cart.ts', 'src/cart.ts', cart)
  symbols.update('file:///w/old/cart.ts', 'old/cart.ts', 'export class Cart {}\n')
  symbols.update('file:///w/src/util.ts', 'src/util.ts', 'export function round(value: number): number {\n}\n')
  symbols.update('file:///w/src/main.ts', 'src/main.ts', 'function local() {}\n')
  const told = symbols.declarationsFor(
    place('function local() {}\nconst cart = new Cart()\nlocal(round(cart.', "import { Cart } from './cart.ts'\n"),
  )
  assert.deepEqual(told, [
    { path: 'src/cart.ts', text: '/** Things to buy. */\nexport class Cart\n  add(item: string): void\n' },
    { path: 'src/util.ts', text: 'export function round(value: number): number\n' },
  ])
  // A file that changed, and one that is gone.
  symbols.update('file:///w/src/cart.ts', 'src/cart.ts', 'export class Basket {}\n')
  symbols.remove('file:///w/src/util.ts')
  const then = symbols.declarationsFor(place('new Cart(round(', "import { Cart } from './cart.ts'\n"))
  assert.deepEqual(
    then.map(({ path }) => path),
    ['old/cart.ts'],
  )
})

test('what many files declare and nothing imports is no declaration to tell', () => {
  const symbols = new Symbols()
  for (let index = 0; index < 5; index++)
    symbols.update(`file:///w/${index}.ts`, `${index}.ts`, 'export function run() {}\n')
  assert.deepEqual(symbols.declarationsFor(place('run(')), [])
  assert.deepEqual(
    symbols.declarationsFor(place('run(', "import { run } from './3.ts'\n")).map(({ path }) => path),
    ['3.ts'],
  )
})

test('the index stays within its bounds, and forgets the oldest first', () => {
  const symbols = new Symbols()
  const text = Array.from(
    { length: 300 },
    (_, index) => `export function name${index}(a: string, b: number): void {`,
  ).join('\n')
  for (let index = 0; index < 4500; index++)
    symbols.update(`file:///w/${index}.ts`, `${index}.ts`, index < 400 ? text : 'export const last = 1\n')
  assert.ok(symbols.size <= 4000)
  assert.deepEqual(symbols.declarationsFor(place('name7(', "import { name7 } from './0.ts'\n")), [])
})

test('files that speak of the same things are found; a cancelled search gives none', async () => {
  const symbols = new Symbols()
  const topic = 'invoice customer payment currency discount receipt shipping'
  symbols.update('file:///w/a.ts', 'a.ts', `// ${topic} extra words beyond\n`)
  symbols.update('file:///w/b.ts', 'b.ts', '// nothing alike stands here whatsoever\n')
  const never = new AbortController().signal
  const found = await symbols.similar('file:///w/me.ts', `${topic} order`, never)
  assert.deepEqual(found, [{ uri: 'file:///w/a.ts', path: 'a.ts' }])
  assert.deepEqual(await symbols.similar('file:///w/a.ts', topic, never), [], 'not the file itself')
})

test('what is told changes only where something is missing, and keeps its order', () => {
  const surroundings = new Surroundings()
  const uri = 'file:///w/me.ts'
  const [a, b, c] = ['a', 'b', 'c'].map(name => ({
    path: `${name}.ts`,
    text: `function ${name}()\nfunction ${name}2()\n`,
  })) as [{ path: string; text: string }, { path: string; text: string }, { path: string; text: string }]
  const paths = () => surroundings.given(uri).map(({ path }) => path)
  assert.equal(surroundings.choose(uri, '', [a, b]), true)
  assert.deepEqual(paths(), ['a.ts', 'b.ts'])
  // Fewer, others of the same, another order: all there already.
  assert.equal(surroundings.choose(uri, '', [b]), false)
  assert.equal(surroundings.choose(uri, '', [b, { path: 'a.ts', text: 'function a2()\n' }]), false)
  assert.deepEqual(paths(), ['a.ts', 'b.ts'])
  assert.equal(surroundings.choose(uri, '', [c, b]), true)
  assert.deepEqual(paths(), ['b.ts', 'c.ts'])
  // Another document has its own.
  assert.deepEqual(surroundings.given('file:///w/you.ts'), [])
  assert.equal(surroundings.choose('file:///w/you.ts', '', []), false)
})

test('the part of an unseen file that has most in common is given, and giving it again changes nothing', () => {
  const surroundings = new Surroundings()
  const around = 'invoice customer payment currency discount receipt shipping'
  const text = `${'nothing alike stands here\n'.repeat(100)}const ${around.replaceAll(' ', ', ')}\n${'other words follow there\n'.repeat(100)}`
  surroundings.found('file:///w/a.ts', 'a.ts', text, around)
  assert.equal(surroundings.choose('file:///w/me.ts', around), true)
  assert.match(surroundings.given('file:///w/me.ts')[0]!.text, /invoice, customer/)
  surroundings.found('file:///w/a.ts', 'a.ts', text, around)
  assert.equal(surroundings.choose('file:///w/me.ts', around), false)
})
