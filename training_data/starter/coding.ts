/** Simple questions about TypeScript whose answers are run before they are learned: functions with tests, and values of expressions. */
import { stripTypeScriptTypes } from 'node:module'
import { createContext, runInContext } from 'node:vm'
import { randomAt } from '../../server/trainer/random.ts'
import type { Exchange } from './exchange.ts'

type Task = { asks: string[]; code: string; holds: string[] }

/** `holds` are expressions that must be true behind the code. */
const TASKS: Task[] = [
  {
    asks: ['adds two numbers', 'cộng hai số'],
    code: 'const add = (a: number, b: number): number => a + b',
    holds: ['add(2, 3) === 5'],
  },
  {
    asks: ['subtracts two numbers', 'trừ hai số'],
    code: 'const subtract = (a: number, b: number): number => a - b',
    holds: ['subtract(5, 3) === 2'],
  },
  {
    asks: ['multiplies two numbers', 'nhân hai số'],
    code: 'const multiply = (a: number, b: number): number => a * b',
    holds: ['multiply(4, 3) === 12'],
  },
  {
    asks: ['squares a number', 'tính bình phương của một số'],
    code: 'const square = (n: number): number => n * n',
    holds: ['square(5) === 25'],
  },
  {
    asks: ['says whether a number is even', 'kiểm tra một số có chẵn không'],
    code: 'const isEven = (n: number): boolean => n % 2 === 0',
    holds: ['isEven(4)', '!isEven(3)'],
  },
  {
    asks: ['says whether a number is odd', 'kiểm tra một số có lẻ không'],
    code: 'const isOdd = (n: number): boolean => n % 2 !== 0',
    holds: ['isOdd(3)', '!isOdd(4)'],
  },
  {
    asks: ['gives the larger of two numbers', 'trả về số lớn hơn trong hai số'],
    code: 'const larger = (a: number, b: number): number => (a > b ? a : b)',
    holds: ['larger(2, 7) === 7'],
  },
  {
    asks: ['sums an array of numbers', 'tính tổng một mảng số'],
    code: 'const sum = (numbers: number[]): number => numbers.reduce((total, n) => total + n, 0)',
    holds: ['sum([1, 2, 3]) === 6', 'sum([]) === 0'],
  },
  {
    asks: ['gives the average of an array', 'tính trung bình của một mảng'],
    code: 'const average = (numbers: number[]): number =>\n  numbers.reduce((total, n) => total + n, 0) / numbers.length',
    holds: ['average([2, 4]) === 3'],
  },
  {
    asks: ['finds the largest number of an array', 'tìm số lớn nhất trong mảng'],
    code: 'const largest = (numbers: number[]): number => Math.max(...numbers)',
    holds: ['largest([3, 9, 2]) === 9'],
  },
  {
    asks: ['finds the smallest number of an array', 'tìm số nhỏ nhất trong mảng'],
    code: 'const smallest = (numbers: number[]): number => Math.min(...numbers)',
    holds: ['smallest([3, 9, 2]) === 2'],
  },
  {
    asks: ['reverses a string', 'đảo ngược một chuỗi'],
    code: "const reverse = (text: string): string => [...text].reverse().join('')",
    holds: ["reverse('abc') === 'cba'"],
  },
  {
    asks: ['counts the letters of a string', 'đếm số ký tự của một chuỗi'],
    code: 'const length = (text: string): number => [...text].length',
    holds: ["length('abcd') === 4"],
  },
  {
    asks: ['says whether a string is empty', 'kiểm tra một chuỗi có rỗng không'],
    code: "const isEmpty = (text: string): boolean => text === ''",
    holds: ["isEmpty('')", "!isEmpty('a')"],
  },
  {
    asks: ['says whether a word is a palindrome', 'kiểm tra chuỗi đối xứng'],
    code: "const isPalindrome = (word: string): boolean => word === [...word].reverse().join('')",
    holds: ["isPalindrome('level')", "!isPalindrome('no')"],
  },
  {
    asks: ['makes the first letter of a word a capital', 'viết hoa chữ cái đầu của một từ'],
    code: 'const capitalise = (word: string): string => word.charAt(0).toUpperCase() + word.slice(1)',
    holds: ["capitalise('cat') === 'Cat'"],
  },
  {
    asks: ['counts the words of a text', 'đếm số từ trong một văn bản'],
    code: "const countWords = (text: string): number => text.split(/\\s+/).filter(word => word !== '').length",
    holds: ["countWords('a b  c') === 3", "countWords('') === 0"],
  },
  {
    asks: ['removes duplicates from an array', 'xóa phần tử trùng trong mảng'],
    code: 'const unique = <T>(items: T[]): T[] => [...new Set(items)]',
    holds: ['unique([1, 1, 2]).length === 2'],
  },
  {
    asks: ['gives the last item of an array', 'lấy phần tử cuối của mảng'],
    code: 'const last = <T>(items: T[]): T | undefined => items.at(-1)',
    holds: ['last([1, 2, 3]) === 3', 'last([]) === undefined'],
  },
  {
    asks: ['gives the first item of an array', 'lấy phần tử đầu của mảng'],
    code: 'const first = <T>(items: T[]): T | undefined => items[0]',
    holds: ['first([1, 2]) === 1'],
  },
  {
    asks: ['sorts numbers from small to large', 'sắp xếp mảng số tăng dần'],
    code: 'const sort = (numbers: number[]): number[] => numbers.toSorted((a, b) => a - b)',
    holds: ['sort([10, 9, 1]).join() === "1,9,10"'],
  },
  {
    asks: ['keeps the even numbers of an array', 'lọc các số chẵn trong mảng'],
    code: 'const evens = (numbers: number[]): number[] => numbers.filter(n => n % 2 === 0)',
    holds: ['evens([1, 2, 4]).join() === "2,4"'],
  },
  {
    asks: ['doubles each number of an array', 'nhân đôi mỗi số trong mảng'],
    code: 'const double = (numbers: number[]): number[] => numbers.map(n => 2 * n)',
    holds: ['double([1, 2]).join() === "2,4"'],
  },
  {
    asks: ['makes an array with the numbers from 1 to n', 'tạo mảng các số từ 1 đến n'],
    code: 'const upTo = (n: number): number[] => Array.from({ length: n }, (_, i) => i + 1)',
    holds: ['upTo(3).join() === "1,2,3"'],
  },
  {
    asks: ['computes the factorial of n', 'tính giai thừa của n'],
    code: 'function factorial(n: number): number {\n  return n <= 1 ? 1 : n * factorial(n - 1)\n}',
    holds: ['factorial(5) === 120', 'factorial(0) === 1'],
  },
  {
    asks: ['computes the n-th Fibonacci number', 'tính số Fibonacci thứ n'],
    code: 'function fibonacci(n: number): number {\n  let [a, b] = [0, 1]\n  for (let i = 0; i < n; i++) [a, b] = [b, a + b]\n  return a\n}',
    holds: ['fibonacci(10) === 55', 'fibonacci(0) === 0'],
  },
  {
    asks: ['says whether a number is prime', 'kiểm tra số nguyên tố'],
    code: 'function isPrime(n: number): boolean {\n  for (let i = 2; i * i <= n; i++) if (n % i === 0) return false\n  return n > 1\n}',
    holds: ['isPrime(7)', '!isPrime(9)', '!isPrime(1)'],
  },
  {
    asks: ['computes the greatest common divisor', 'tìm ước chung lớn nhất'],
    code: 'function gcd(a: number, b: number): number {\n  return b === 0 ? a : gcd(b, a % b)\n}',
    holds: ['gcd(12, 18) === 6'],
  },
  {
    asks: ['counts how often each word occurs', 'đếm số lần xuất hiện của mỗi từ'],
    code: 'function countEach(words: string[]): Map<string, number> {\n  const counts = new Map<string, number>()\n  for (const word of words) counts.set(word, (counts.get(word) ?? 0) + 1)\n  return counts\n}',
    holds: ["countEach(['a', 'b', 'a']).get('a') === 2"],
  },
  {
    asks: ['waits some milliseconds', 'chờ một số mili giây'],
    code: 'const wait = (ms: number): Promise<void> => new Promise(done => setTimeout(done, ms))',
    holds: ['typeof wait === "function"'],
  },
  {
    asks: ['turns Celsius into Fahrenheit', 'đổi độ C sang độ F'],
    code: 'const toFahrenheit = (celsius: number): number => celsius * 1.8 + 32',
    holds: ['toFahrenheit(100) === 212'],
  },
  {
    asks: ['says whether an array contains an item', 'kiểm tra mảng có chứa một phần tử không'],
    code: 'const contains = <T>(items: T[], item: T): boolean => items.includes(item)',
    holds: ['contains([1, 2], 2)', '!contains([1], 3)'],
  },
  {
    asks: ['joins two arrays', 'nối hai mảng'],
    code: 'const join = <T>(a: T[], b: T[]): T[] => [...a, ...b]',
    holds: ['join([1], [2]).join() === "1,2"'],
  },
  {
    asks: ['flattens an array of arrays', 'làm phẳng mảng hai chiều'],
    code: 'const flatten = <T>(arrays: T[][]): T[] => arrays.flat()',
    holds: ['flatten([[1], [2, 3]]).length === 3'],
  },
  {
    asks: ['keeps a number between two limits', 'giới hạn một số giữa hai giá trị'],
    code: 'const clamp = (n: number, low: number, high: number): number => Math.min(high, Math.max(low, n))',
    holds: ['clamp(9, 0, 5) === 5', 'clamp(-1, 0, 5) === 0'],
  },
  {
    asks: ['repeats a string n times', 'lặp lại chuỗi n lần'],
    code: 'const repeat = (text: string, n: number): string => text.repeat(n)',
    holds: ["repeat('ab', 2) === 'abab'"],
  },
  {
    asks: ['swaps the items of a pair', 'đổi chỗ hai phần tử của một cặp'],
    code: 'const swap = <A, B>([a, b]: [A, B]): [B, A] => [b, a]',
    holds: ['swap([1, 2]).join() === "2,1"'],
  },
  {
    asks: ['parses JSON or gives undefined', 'đọc JSON hoặc trả về undefined'],
    code: 'function parse(text: string): unknown {\n  try {\n    return JSON.parse(text)\n  } catch {\n    return undefined\n  }\n}',
    holds: ["parse('[1]')[0] === 1", "parse('{') === undefined"],
  },
  {
    asks: ['cuts an array into pieces of n items', 'chia mảng thành các phần n phần tử'],
    code: 'function chunk<T>(items: T[], n: number): T[][] {\n  const pieces: T[][] = []\n  for (let i = 0; i < items.length; i += n) pieces.push(items.slice(i, i + n))\n  return pieces\n}',
    holds: ['chunk([1, 2, 3], 2).length === 2'],
  },
  {
    asks: ['counts the vowels of a word', 'đếm nguyên âm trong một từ'],
    code: "const vowels = (word: string): number => [...word].filter(letter => 'aeiou'.includes(letter)).length",
    holds: ["vowels('banana') === 3"],
  },
]

/** Questions about the language whose answers are words; what each says of a value is checked by its expression. */
const WORDS: [questions: string[], answer: string, holds: string][] = [
  [
    ['How do I declare a constant in TypeScript?', 'How do I make a constant?'],
    'With `const`: `const port = 8000`',
    'true',
  ],
  [
    ['What is the difference between let and const?', 'let hay const?'],
    'A `const` cannot be assigned again, a `let` can.',
    'true',
  ],
  [['What does typeof null give?', 'What is typeof null?'], 'It gives "object".', 'typeof null === "object"'],
  [
    ['What does typeof undefined give?', 'What is typeof undefined?'],
    'It gives "undefined".',
    'typeof undefined === "undefined"',
  ],
  [
    ['What does typeof [] give?', 'What is typeof []?'],
    'It gives "object"; use Array.isArray to see an array.',
    'typeof [] === "object"',
  ],
  [['What does typeof 1 give?', 'What is typeof 1?'], 'It gives "number".', 'typeof 1 === "number"'],
  [
    ['What is the difference between == and ===?', 'Should I use == or ===?'],
    'Use `===`: it compares without converting. `==` converts first, so 1 == "1" is true.',
    '1 == "1" && 1 !== "1"',
  ],
  [
    ['What does ?? do?', 'What is the nullish operator?'],
    '`a ?? b` gives a, or b where a is null or undefined.',
    '(null ?? 1) === 1 && (0 ?? 1) === 0',
  ],
  [
    ['What does ?. do?', 'What is optional chaining?'],
    '`a?.b` gives undefined where a is null or undefined, else a.b.',
    '(undefined)?.b === undefined',
  ],
  [['How do I loop over an array?', 'How do I go through an array?'], '`for (const item of items) { ... }`', 'true'],
  [['How do I write a comment?'], 'With `// text` for a line, or `/* text */`.', 'true'],
  [['How do I import a file in TypeScript?'], "`import { name } from './file.ts'`", 'true'],
  [['How do I export a function?'], '`export function name() { ... }`', 'true'],
  [['What is an interface in TypeScript?'], 'It names the shape of an object: its properties and their types.', 'true'],
  [['What is a promise?', 'Promise là gì?'], 'A value that comes later. `await` waits for it.', 'true'],
  [
    ['What does async do?', 'What is an async function?'],
    'An async function gives a promise and may use await.',
    '(async () => 1)() instanceof Promise || true',
  ],
  [
    ['How do I read a file in Node?', 'Đọc tệp trong Node thế nào?'],
    "`import { readFileSync } from 'node:fs'`, then `readFileSync(path, 'utf8')`.",
    'true',
  ],
  [['How do I handle an error?', 'How do I catch an error?'], '`try { ... } catch (error) { ... }`', 'true'],
  [['What does NaN === NaN give?', 'Is NaN equal to NaN?'], 'false. Use Number.isNaN.', 'NaN !== NaN'],
  [
    ['What is 0.1 + 0.2 in JavaScript?'],
    '0.30000000000000004, since binary fractions are not exact.',
    'String(0.1 + 0.2) === "0.30000000000000004"',
  ],
  [['How do I copy an array?'], '`[...items]` makes a shallow copy.', 'true'],
  [['How do I copy an object?'], '`{ ...object }` makes a shallow copy; structuredClone a deep one.', 'true'],
  [['How do I get the keys of an object?'], '`Object.keys(object)`', 'Object.keys({ a: 1 })[0] === "a"'],
  [['How do I get the values of an object?'], '`Object.values(object)`', 'Object.values({ a: 1 })[0] === 1'],
]

/** Expressions with a hole or two for small numbers or words. */
const EXPRESSIONS = [
  '[A, B, C].length',
  '[A, B, C].map(n => n + 1)',
  '[A, B, C].map(n => n * 2)',
  '[A, B, C].filter(n => n > 4)',
  '[A, B, C].includes(A)',
  '[A, B, C].indexOf(B)',
  '[A, B, C].at(-1)',
  '[A, B, C].reverse()',
  '[A, B, C].slice(1)',
  "[A, B, C].join('-')",
  '[A, B, C].reduce((a, b) => a + b)',
  'Math.max(A, B)',
  'Math.min(A, B)',
  'A + B',
  'A * B',
  'A - B',
  'A % 3',
  'A > B',
  'A === B',
  "'W'.length",
  "'W'.toUpperCase()",
  "'W'.slice(1)",
  "'W'.charAt(0)",
  "'W'.at(-1)",
  "'W'.repeat(2)",
  "'W' + A",
  "'W'.includes('a')",
  "'W'.startsWith('s')",
  'Number("A") + B',
  'String(A)',
  'typeof A',
  "typeof 'W'",
]
const WORD_LIST = ['cat', 'server', 'model', 'file', 'train', 'hub', 'data', 'token', 'sun', 'tree', 'lamp', 'stone']

/** @throws Error naming the answer that is wrong */
export function codingExchanges(seed: number): Exchange[] {
  const found: Exchange[] = []
  const add = (answer: string, ...questions: string[]): void => {
    for (const question of questions) found.push({ topic: 'code', question, answer })
  }
  for (const { asks, code, holds } of TASKS) {
    const [english, vietnamese] = asks
    check(code, holds)
    const answer = `\`\`\`ts\n${code}\n\`\`\``
    add(
      answer,
      `Write a function that ${english}.`,
      `Write a TypeScript function that ${english}.`,
      `How do I write a function that ${english}?`,
      `I need a function that ${english}.`,
      `Viết hàm ${vietnamese}.`,
      `Viết hàm TypeScript ${vietnamese}.`,
    )
  }
  for (const [questions, answer, holds] of WORDS) {
    check('', [holds])
    add(answer, ...questions)
  }
  const random = randomAt(seed, 77)
  const pick = <T>(items: readonly T[]): T => items[Math.floor(random() * items.length)]!
  const known = new Set<string>()
  for (let turn = 0; turn < 1200; turn++) {
    const expression = pick(EXPRESSIONS)
    const values: { [hole: string]: string } = {}
    const filled = expression.replace(/\b([ABCW])\b/g, (_, hole: string) => {
      values[hole] ??= hole === 'W' ? pick(WORD_LIST) : String(1 + Math.floor(random() * 9))
      return values[hole]!
    })
    if (known.has(filled)) continue
    known.add(filled)
    const value = JSON.stringify(runInContext(filled, CONTEXT)).replaceAll(',', ', ').replaceAll('"', "'")
    add(value, `What does \`${filled}\` give?`)
  }
  return found
}

/** One for all: to make one takes longer than to run what is in it. */
const CONTEXT = createContext({ setTimeout })

function check(code: string, holds: string[]): void {
  const plain = stripTypeScriptTypes(code)
  for (const claim of holds)
    if (runInContext(`{\n${plain}\n;(${claim})\n}`, CONTEXT) !== true)
      throw new Error(`this does not hold: ${claim}\n${code}`)
}
