/** A seeded corpus of training samples with known faults planted in it, and clean traps that only look faulty. */
import type { FindingId } from '../../server/wire/quality.ts'
import type { Sample } from '../../server/wire/sample.ts'

export type Random = () => number

/** Mulberry32: numbers from 0 to 1, the same for the same seed. */
export function seeded(seed: number): Random {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
}
export const pick = <T>(random: Random, list: readonly T[]): T => list[Math.floor(random() * list.length)]!
const LOWER = 'abcdefghijklmnopqrstuvwxyz'
const UPPER = LOWER.toUpperCase()
const DIGITS = '0123456789'
export function randomText(random: Random, length: number, alphabet = LOWER + UPPER + DIGITS): string {
  return Array.from({ length }, () => pick(random, [...alphabet])).join('')
}

export const VIETNAMESE = `Hàm này nhận vào một danh sách số nguyên và trả về tổng của chúng.
Bạn có thể dùng vòng lặp for để duyệt qua từng phần tử trong mảng.
Nếu chuỗi rỗng thì chương trình sẽ báo lỗi ngay lập tức.
Chúng ta cần kiểm tra dữ liệu đầu vào trước khi xử lý tiếp.
Độ phức tạp của thuật toán sắp xếp nhanh trung bình là n log n.
Hà Nội là thủ đô của nước Việt Nam từ nhiều thế kỷ nay.
Mùa thu, lá vàng rơi đầy trên những con đường quen thuộc.
Cơ sở dữ liệu được sao lưu mỗi đêm vào lúc hai giờ sáng.
Người dùng phải đăng nhập trước khi xem được lịch sử đơn hàng.
Khi mạng bị ngắt, ứng dụng lưu tạm các thay đổi xuống đĩa.
Đệ quy là kỹ thuật mà một hàm tự gọi lại chính nó.
Biến toàn cục khiến chương trình khó đọc và khó kiểm thử hơn.
Tôi thích uống cà phê sữa đá vào buổi sáng sớm.
Thành phố Hồ Chí Minh có khí hậu nóng ẩm quanh năm.
Mỗi lớp chỉ nên chịu trách nhiệm về một việc duy nhất.
Hãy viết một bài kiểm thử cho trường hợp danh sách không có phần tử nào.
Kết quả được làm tròn đến hai chữ số sau dấu phẩy.
Câu lệnh này xóa tất cả các tệp tạm trong thư mục hiện tại.
Ngăn xếp hoạt động theo nguyên tắc vào sau ra trước.
Bộ nhớ đệm giúp giảm thời gian truy cập những trang hay dùng.
Sông Hương chảy êm đềm qua giữa lòng cố đô Huế.
Phở bò và bún chả là hai món ăn nổi tiếng của miền Bắc.
Để tránh rò rỉ bộ nhớ, hãy đóng kết nối sau khi dùng xong.
Máy chủ trả lời bằng mã lỗi khi yêu cầu không hợp lệ.
Cây nhị phân tìm kiếm cho phép tra cứu rất nhanh.
Anh ấy đã sửa xong lỗi hiển thị tiếng Việt trên trang quản trị.
Giao diện mới hỗ trợ cả chế độ sáng lẫn chế độ tối.
Chỉ số của mảng bắt đầu từ không chứ không phải từ một.
Dòng thứ ba của tệp cấu hình thiếu một dấu ngoặc nhọn.
Học sinh cần nộp bài trước mười giờ tối thứ sáu.`.split('\n')

export const ENGLISH = `The function returns the sum of all numbers in the given list.
Sorting the records first makes the later search much faster.
A binary tree keeps smaller keys on the left and larger ones on the right.
The server closes idle connections after thirty seconds of silence.
Please check the input before you pass it on to the database.
Every worker keeps its own queue, and a coordinator moves jobs between them.
Rivers in this region carry more water in the rainy season.
The cache is invalidated whenever the underlying file changes.
Recursion needs a base case, otherwise the stack overflows.
She planted tomatoes along the fence and watered them every evening.
An index on the column speeds up lookups but slows down inserts.
Unit tests describe what the code should do in small steps.
The parser reports the line and the column of the first error.
Older browsers ignore attributes that they do not understand.
A mutex protects the counter from being changed by two threads at once.
The museum opens at nine and is closed on Mondays.
Compression saves space but costs some processor time.
Logs are rotated every night and deleted after two weeks.
The compiler removes branches that can never be taken.
Write short functions with names that say what they do.
A good error message names the thing that failed and the way to fix it.
The train to the coast leaves from the second platform.
Streams let a program handle files larger than its memory.
Two points define a line, and three of them a plane.
The configuration is read once when the program starts.
Most of the time is spent waiting for the network.
Bread needs flour, water, salt, yeast and a little patience.
The scheduler gives short tasks a chance to overtake long ones.
A hash table trades memory for constant time lookups.
Users may undo the last change until they close the window.`.split('\n')

export const CODE = [
  '```python\ndef total(values):\n    result = 0\n    for value in values:\n        result += value\n    return result\n```',
  '```js\nexport function unique(list) {\n  return [...new Set(list)]\n}\n```',
  '```ts\nconst byName = new Map<string, number>()\nfor (const [name, n] of pairs) byName.set(name, n)\n```',
  '```python\nimport hashlib\n\nprint(hashlib.sha256(b"abc").hexdigest())\n```',
  '```sql\nSELECT name, COUNT(*) FROM orders GROUP BY name ORDER BY 2 DESC;\n```',
  '```js\nconst identity = [[1, 0, 0], [0, 1, 0], [0, 0, 1]]\nconsole.log(identity)\n```',
  '```go\nfunc Max(a, b int) int {\n\tif a > b {\n\t\treturn a\n\t}\n\treturn b\n}\n```',
  '```html\n<ul>\n  <li>one</li>\n  <li>two</li>\n</ul>\n```',
]

/** Texts without any secret or personal data that look as if they had some. */
export const SECRET_TRAPS = [
  'The commit is 9fceb02d0ae598e95dc970b74767f19372d61af8 on the main branch.',
  'sha256: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
  'Request 550e8400-e29b-41d4-a716-446655440000 took 35 ms; trace 4bf92f3577b34da6a3ce929d0e0e4736.',
  'Write to user@example.com or admin@mail.example.org for details.',
  'git clone git@github.com:nodejs/node.git && npm install typescript@5.4.2 @types/node@20.11.30',
  'const apiKey = process.env.OPENAI_API_KEY ?? ""\nconst token = getToken(userId2024)',
  'export OPENAI_API_KEY="sk-your-key-here-xxxxxxxxxxxxxxxx"',
  'api_key = "YOUR_API_KEY_1234567890"  # replace it',
  'max_tokens = 4096, eos_token_id: 151645, token_count = 20481024',
  'function login(username: string, password: string): Promise<Session2> { return post(username, password) }',
  "const password = await prompt('Password: ')\nif (password.length < 8) throw new Error('short')",
  'class="sk-fading-circle sk-circle-container-animation-delay"',
  'Pay with the test card 4242 4242 4242 4242 or 4111111111111111.',
  'Created at 1700000000, updated 1700000000123, id 1146385620171534336, on 2024-01-15T10:20:30.123456Z.',
  'Call 555-0100, or look at http://192.168.100.200:8080/v1/models for version 10.15.7.2024.',
  'The key AKIAIOSFODNN7EXAMPLE and wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY stand in every manual.',
  'pi is 3.14159265358979323846 and e is 2.718281828459045, 0.0912345678 is small.',
  'logo@2x.png, background@3x.jpg and react@18.2.0/umd/react.min.js are files.',
  '@app.route("/users")\ndef users():\n    return jsonify(list_users())',
  'postgres://postgres:postgres@localhost:5432/app is the usual address for development.',
  'ISBN 978-3-16-148410-0, order no. 20240115-000123, lot 4417-1234-5678-9113-0.',
  'color: #09f6d8; background: rgba(12, 34, 56, 0.7); margin: 0 10 20 30 40 50 60 70px;',
  '-----BEGIN PRIVATE KEY-----\n...\n-----END PRIVATE KEY-----',
  'The header looks like Authorization: Bearer <token>, the token like eyJhbGciOi...',
  'integrity="sha512-Kx1lDxYgPp6wXKJ0YtVfVQvIyG2cxxQc0nQ8V3nqJxTtqz1mZ6fLCyPRuXq3GxMZ3rOaQYH1rjvYx0l0kg=="',
  'password_hash = "5f4dcc3b5aa765d61d8327deb882cf99"  # md5 of the word',
  'x = [0, 9, 1, 2, 3, 4, 5, 6, 7, 8]; y = 0x0912345678; z = 84901234567n * 2n',
  'The IBAN in the standard is GB82 WEST 1234 5698 7654 32.',
  'secret = "hello"; token: "ABC"; passwd = ""; pwd=/home/user/project-2024/build',
  'primary_key: true, foreign_key: "customer_id_2024_references_orders"',
  'next_page_token = response.nextPageToken2 || cursor.encodeBase64(lastRow2024)',
  'A @ B.T multiplies matrices; w@x.mT as well.',
]

/** Clean texts that look as if they had been decoded wrongly; nothing may be changed in them. */
export const ENCODING_TRAPS = [
  'SÃO PAULO, 2024: NÃO HÁ VAGAS PARA A FUNÇÃO.',
  'À la carte, élève, garçon, naïf, œuvre, « CAFÉ », façade, où, Noël.',
  'Ärger, Übung, Straße, Größe, Äpfel, Öl und Fußgängerübergänge.',
  'El niño comió piñas en España, ¿verdad? ¡Sí!',
  'Chữ cái: A Ă Â B C D Đ E Ê G H I K L M N O Ô Ơ P Q R S T U Ư V X Y.',
  'Ân và Âm là hai tên; Ông ấy nói: “Ừ, được”.',
  'If your page shows Ã© instead of the letter, the charset is wrong.',
  'The word café becomes "cafÃ©" when UTF-8 is decoded as Latin-1.',
  'Tại sao trang của tôi hiện Tiáº¿ng Viá»‡t thay vì chữ có dấu? Do sai bảng mã.',
  "const fixes = { 'Ã©': 'é', 'Ã¨': 'è', 'â€™': '’' }",
  'Ångström, Øresund, smørrebrød, Åse, blåbærsyltetøy.',
  'Zażółć gęślą jaźń; příliš žluťoučký kůň; Iğdır, şeker.',
  '25 °C ± 2 °C, £100, ½ cup, 3 × 4 = 12, §5 ¶2, ©2024 ®',
  '日本語とEnglishの混ざった文。 Привет, мир! Ελληνικά. 🎉👩‍💻',
  'tôi có ba và má ở nhà, hai cô bé và chú cún con',
  'J’ai dit « À » et « Â », puis « É » : voilà.',
  "re.sub(r'[àáâãäå]', 'a', text)  # ÀÁÂÃÄÅ as well",
  'déjà été, crème brûlée, à côté, forêt, hôtel, même, où ça, là-bas, très tôt',
]

/** Clean answers that look as if they repeated themselves or were cut. */
export const REPETITION_TRAPS = [
  `| name | price |\n|---|---|\n${Array.from({ length: 20 }, (_, i) => `| item ${i} | ${i * 3} |`).join('\n')}`,
  `\`\`\`js\nconst zeros = [\n${'  [0, 0, 0, 0],\n'.repeat(12)}]\n\`\`\`\nThat is a matrix of zeros.`,
  Array.from({ length: 12 }, (_, i) => `${i + 1}. Open the file number ${i + 1}, read it and close it again.`).join(
    '\n',
  ),
  'Row, row, row your boat, gently down the stream. Merrily, merrily, merrily, merrily, life is but a dream.',
]

/** A clean text of several sentences, unlike the others. */
export function prose(random: Random, list: readonly string[] = random() < 0.5 ? VIETNAMESE : ENGLISH): string {
  const chosen: string[] = []
  while (chosen.length < 5) {
    const sentence = pick(random, list)
    if (!chosen.includes(sentence)) chosen.push(sentence)
  }
  chosen.splice(
    2,
    0,
    `${pick(random, list).slice(0, -1)} (${randomText(random, 5, LOWER)} ${Math.floor(random() * 900)}).`,
  )
  return chosen.join(' ')
}

export function chat(question: string, answer: string): Sample {
  return {
    kind: 'chat',
    messages: [
      { role: 'user', content: question },
      { role: 'assistant', content: answer },
    ],
  }
}

function cleanAnswer(random: Random): string {
  return random() < 0.3 ? `${prose(random)}\n\n${pick(random, CODE)}\n\n${prose(random)}` : prose(random)
}

type Maker = (random: Random) => string

export function luhnNumber(random: Random, prefix: string, length: number): string {
  const digits = prefix + randomText(random, length - prefix.length - 1, DIGITS)
  let sum = 0
  for (let i = 0; i < digits.length; i++) {
    const digit = Number(digits[digits.length - 1 - i])
    const doubled = i % 2 === 0 ? digit * 2 : digit
    sum += doubled > 9 ? doubled - 9 : doubled
  }
  return digits + String((10 - (sum % 10)) % 10)
}

function iban(random: Random): string {
  const body = randomText(random, 18, DIGITS)
  const rest = BigInt(`${body}131400`) % 97n
  return `DE${String(98n - rest).padStart(2, '0')}${body}`
}

const base64url = (text: string) => Buffer.from(text).toString('base64url')
const STRONG = `${LOWER}${UPPER}${DIGITS}!#%+_`
const strong: Maker = random =>
  `${randomText(random, 4, LOWER)}${randomText(random, 3, UPPER)}${randomText(random, 4, DIGITS)}${randomText(random, 6, STRONG)}`
const mobile: Maker = random => `${pick(random, ['3', '5', '7', '8', '9'])}${randomText(random, 8, DIGITS)}`
const grouped = (digits: string, sizes: number[], by: string): string => {
  const starts = sizes.map((_, i) => sizes.slice(0, i).reduce((sum, size) => sum + size, 0))
  return starts.map((start, i) => digits.slice(start, start + sizes[i]!)).join(by)
}

/** Makes secrets of every kind; the whole text is to be masked, with words around that are not. */
export const SECRETS: { finding: FindingId; name: string; make: Maker; around: (value: string) => string }[] = [
  {
    finding: 'secret',
    name: 'aws',
    make: r => `AKIA${randomText(r, 16, 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567')}`,
    around: v => `aws_access_key_id = ${v}`,
  },
  {
    finding: 'secret',
    name: 'aws secret',
    make: r => randomText(r, 40, `${LOWER}${UPPER}${DIGITS}/+`),
    around: v => `aws_secret_access_key=${v}\n`,
  },
  {
    finding: 'secret',
    name: 'github',
    make: r => `ghp_${randomText(r, 36)}`,
    around: v => `git remote set-url origin https://${v}@github.com/a/b.git`,
  },
  {
    finding: 'secret',
    name: 'github fine',
    make: r => `github_pat_${randomText(r, 22)}_${randomText(r, 59)}`,
    around: v => `Dùng mã ${v} để đăng nhập.`,
  },
  {
    finding: 'secret',
    name: 'openai',
    make: r => `sk-proj-${randomText(r, 48)}`,
    around: v => `client = OpenAI(api_key="${v}")`,
  },
  {
    finding: 'secret',
    name: 'google',
    make: r => `AIza${randomText(r, 35)}`,
    around: v => `https://maps.googleapis.com/api?key=${v}`,
  },
  {
    finding: 'secret',
    name: 'slack',
    make: r => `xoxb-${randomText(r, 12, DIGITS)}-${randomText(r, 12, DIGITS)}-${randomText(r, 24)}`,
    around: v => `SLACK_TOKEN: ${v}`,
  },
  {
    finding: 'secret',
    name: 'stripe',
    make: r => `sk_live_${randomText(r, 24)}`,
    around: v => `stripe.api_key = '${v}'`,
  },
  {
    finding: 'secret',
    name: 'private key',
    make: r =>
      `MIGHAgEAMBMGByqGSM49${randomText(r, 44, `${LOWER}${UPPER}${DIGITS}/+`)}\n${randomText(r, 64)}\n${randomText(r, 50)}==`,
    around: v => `-----BEGIN PRIVATE KEY-----\n${v}\n-----END PRIVATE KEY-----\n`,
  },
  {
    finding: 'secret',
    name: 'jwt',
    make: r =>
      `${base64url('{"alg":"HS256","typ":"JWT"}')}.${base64url(`{"sub":"${randomText(r, 10)}","iat":17000}`)}.${randomText(r, 43)}`,
    around: v => `Authorization: Bearer ${v}`,
  },
  { finding: 'secret', name: 'generic', make: r => randomText(r, 32), around: v => `const apiSecret = "${v}"` },
  {
    finding: 'secret',
    name: 'generic hex',
    make: r => randomText(r, 40, '0123456789abcdef'),
    around: v => `{"client_secret": "${v}"}`,
  },
  { finding: 'secret', name: 'env', make: r => randomText(r, 28), around: v => `DB_TOKEN=${v}\nDEBUG=1` },
  { finding: 'secret', name: 'password', make: strong, around: v => `password: "${v}"` },
  {
    finding: 'secret',
    name: 'url password',
    make: r => randomText(r, 14),
    around: v => `mysql://shop:${v}@db.shop-server.vn:3306/orders`,
  },
  {
    finding: 'email',
    name: 'e-mail',
    make: r =>
      `${randomText(r, 6, LOWER)}.${randomText(r, 5, LOWER)}${randomText(r, 2, DIGITS)}@${pick(r, ['gmail.com', 'yahoo.com.vn', 'fpt.edu.vn', 'outlook.de'])}`,
    around: v => `Liên hệ: ${v}.`,
  },
  {
    finding: 'email',
    name: 'e-mail in code',
    make: r => `${randomText(r, 8, LOWER)}@${randomText(r, 7, LOWER)}.io`,
    around: v => `author = "Minh <${v}>"`,
  },
  { finding: 'phone', name: 'mobile', make: r => `0${mobile(r)}`, around: v => `Gọi cho tôi số ${v} nhé.` },
  {
    finding: 'phone',
    name: 'mobile grouped',
    make: r => grouped(`0${mobile(r)}`, [4, 3, 3], ' '),
    around: v => `ĐT: ${v}`,
  },
  {
    finding: 'phone',
    name: 'mobile +84',
    make: r => `+84 ${grouped(mobile(r), [2, 3, 4], ' ')}`,
    around: v => `Phone ${v}, any time.`,
  },
  {
    finding: 'phone',
    name: 'landline',
    make: r => `(028) 38${randomText(r, 2, DIGITS)} ${randomText(r, 4, DIGITS)}`,
    around: v => `Văn phòng: ${v}`,
  },
  {
    finding: 'phone',
    name: 'german',
    make: r => `+49 30 ${randomText(r, 4, '46789')} ${randomText(r, 4, '2357')}`,
    around: v => `Tel. ${v}`,
  },
  {
    finding: 'phone',
    name: 'american',
    make: r => `(${pick(r, ['415', '212', '646'])}) ${pick(r, ['238', '764', '903'])}-${randomText(r, 4, DIGITS)}`,
    around: v => `call ${v} today`,
  },
  {
    finding: 'payment',
    name: 'card',
    make: r => grouped(luhnNumber(r, '4', 16), [4, 4, 4, 4], ' '),
    around: v => `Số thẻ ${v}, hết hạn 12/27`,
  },
  { finding: 'payment', name: 'card plain', make: r => luhnNumber(r, '52', 16), around: v => `card=${v};` },
  { finding: 'payment', name: 'iban', make: iban, around: v => `Transfer to ${v} please.` },
]

const UNICODE_LETTERS = [...'àảãáạăằẳẵắặâầẩẫấậđèẻẽéẹêềểễếệìỉĩíịòỏõóọôồổỗốộơờởỡớợùủũúụưừửữứựỳỷỹýỵ']
const TCVN3_LETTERS = [...'µ¶·¸¹¨»¼½¾Æ©ÇÈÉÊË®ÌÎÏÐÑªÒÓÔÕÖ×ØÜÝÞßáâãä«åæçèé¬êëìíîïñòóô\u00adõö÷øùúûüýþ']
const VNI_LETTERS =
  'aø aû aõ aù aï aê aè aú aü aé aë aâ aà aå aã aá aä ñ eø eû eõ eù eï eâ eà eå eã eá eä ì æ ó í ò oø oû oõ où oï oâ oà oå oã oá oä ô ôø ôû ôõ ôù ôï uø uû uõ uù uï ö öø öû öõ öù öï yø yû yõ yù î'.split(
    ' ',
  )

const spell = (letters: string[]) => (text: string) =>
  [...text].map(letter => letters[UNICODE_LETTERS.indexOf(letter)] ?? letter).join('')
const asBytes = (name: string) => (text: string) =>
  name === 'latin1' ? Buffer.from(text).toString('latin1') : new TextDecoder(name).decode(Buffer.from(text))
const twice = (how: (text: string) => string) => (text: string) => how(how(text))
/** The old encodings have no upper-case letters with a tone of their own, so that texts for them are in lower case. */
const lowered = (how: (text: string) => string) => (text: string) => how(text.toLowerCase())

export const BREAKS: { name: string; break: (text: string) => string; lower?: boolean; english?: boolean }[] = [
  { name: 'windows-1252', break: asBytes('windows-1252') },
  { name: 'latin1', break: asBytes('latin1') },
  { name: 'windows-1258', break: asBytes('windows-1258') },
  { name: 'windows-1252 twice', break: twice(asBytes('windows-1252')) },
  { name: 'latin1 twice', break: twice(asBytes('latin1')) },
  { name: 'tcvn3', break: lowered(spell(TCVN3_LETTERS)), lower: true },
  { name: 'vni', break: lowered(spell(VNI_LETTERS)), lower: true },
  { name: 'english quotes', break: asBytes('windows-1252'), english: true },
]

export type DirtyData = {
  samples: Sample[]
  /** Indices of the samples with each fault. */
  planted: Map<FindingId, Set<number>>
  /** Kind of fault in words by index, to see what was missed. */
  names: Map<number, string>
  /** Every secret that was planted. */
  secrets: string[]
  /** What the answer of a broken sample was before it was broken. */
  originals: Map<number, string>
}

/** `count` samples, about half of them clean (a fifth of these are traps). */
export function makeDirtyData(seed: number, count: number): DirtyData {
  const random = seeded(seed)
  const data: DirtyData = { samples: [], planted: new Map(), names: new Map(), secrets: [], originals: new Map() }
  const plant = (finding: FindingId, name: string, sample: Sample): void => {
    const index = data.samples.push(sample) - 1
    data.names.set(index, name)
    data.planted.set(finding, (data.planted.get(finding) ?? new Set()).add(index))
  }
  const clean = (name: string, sample: Sample): void => {
    data.names.set(data.samples.push(sample) - 1, name)
  }
  while (data.samples.length < count) {
    const question = prose(random)
    const answer = cleanAnswer(random)
    const choice = random()
    if (choice < 0.4) clean('clean', chat(question, answer))
    else if (choice < 0.5) {
      const trap = pick(random, [...SECRET_TRAPS, ...ENCODING_TRAPS, ...REPETITION_TRAPS])
      clean(`trap: ${trap}`, chat(question, `${trap}\n\n${prose(random, ENGLISH)}`))
    } else if (choice < 0.75) {
      const { finding, name, make, around } = pick(random, SECRETS)
      const value = make(random)
      data.secrets.push(value)
      plant(finding, name, chat(question, `${answer}\n${around(value)}\n${prose(random)}`))
    } else if (choice < 0.83) {
      const { name, break: spoil, lower, english } = pick(random, BREAKS)
      const text = english ? `It’s done — “${prose(random, ENGLISH)}”` : prose(random, VIETNAMESE)
      const original = lower ? text.toLowerCase() : text
      data.originals.set(data.samples.length, original)
      plant('mojibake', name, chat(question, spoil(text)))
    } else if (choice < 0.89) {
      const earlier = data.samples[Math.floor(random() * data.samples.length)]
      if (earlier === undefined || data.names.get(data.samples.indexOf(earlier)) !== 'clean') continue
      if (random() < 0.5) plant('duplicate_exact', 'copy', spaced(earlier))
      else plant('duplicate_near', 'nearly a copy', edited(earlier, random))
    } else plantOther(random, plant, question, answer)
  }
  return data
}

function spaced(sample: Sample): Sample {
  if (sample.kind !== 'chat') return sample
  return { ...sample, messages: sample.messages.map(m => ({ ...m, content: ` ${m.content!.replace(/ /g, '  ')}\n` })) }
}

/** The same with two words changed in its answer: a similarity of about 0.9. */
function edited(sample: Sample, random: Random): Sample {
  if (sample.kind !== 'chat') return sample
  const [question, answer] = sample.messages
  const list = answer!.content!.split(' ')
  for (const at of [0.3, 0.7]) list[Math.floor(list.length * at)] = randomText(random, 7, LOWER)
  return { ...sample, messages: [question!, { ...answer!, content: list.join(' ') }] }
}

function plantOther(
  random: Random,
  plant: (finding: FindingId, name: string, sample: Sample) => void,
  question: string,
  answer: string,
): void {
  const sentence = pick(random, random() < 0.5 ? VIETNAMESE : ENGLISH)
  const cut = prose(random, ENGLISH)
  const makers: (() => void)[] = [
    () => plant('empty', 'empty', { kind: 'text', text: ' \n ' }),
    () => plant('no_answer', 'blank answer', chat(question, ' ')),
    () => plant('no_answer', 'no completion', { kind: 'completion', prompt: question, completion: '' }),
    () =>
      plant('role_order', 'two users', {
        kind: 'chat',
        messages: [
          { role: 'user', content: question },
          { role: 'user', content: 'And?' },
          { role: 'assistant', content: answer },
        ],
      }),
    () => plant('too_long', 'long', chat(question, Array.from({ length: 40 }, () => prose(random)).join(' '))),
    () => plant('too_short', 'short', chat(question, 'Ok')),
    () =>
      plant(
        'truncated',
        'sentence',
        chat(question, `${prose(random, ENGLISH)} ${cut.slice(0, cut.lastIndexOf(' ', cut.length - 8))} the`),
      ),
    () =>
      plant(
        'truncated',
        'fence',
        chat(question, `${answer}\n\n\`\`\`js\nfunction half(${randomText(random, 6, LOWER)}) {\n  return`),
      ),
    () => plant('repetition', 'line', chat(question, `${answer.slice(0, 40)}\n${`${sentence}\n`.repeat(9)}`)),
    () =>
      plant('repetition', 'phrase', chat(question, `${sentence} ${'and so it goes on with the next one '.repeat(8)}`)),
    () => plant('control_characters', 'escape', chat(question, `\u001b[31m${answer}\u001b[0m\u0000`)),
    () => plant('control_characters', 'surrogate', chat(question, `${answer}\ud83d`)),
    () =>
      plant('replacement_characters', 'lost', chat(question, prose(random, VIETNAMESE).replace(/[ạếộ]/g, '\ufffd'))),
    () => plant('not_nfc', 'decomposed', chat(question, prose(random, VIETNAMESE).normalize('NFD'))),
  ]
  pick(random, makers)()
}
