/** Questions about this product: its settings from their schema, and its commands, endpoints and folders from the tables of README.md. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describeSetting, environmentName, SETTING_NAMES, Settings } from '../../server/wire/settings.ts'
import type { Exchange } from './exchange.ts'

/** What each setting means, in Vietnamese; a setting that is missing here has English questions only. */
const SETTINGS_VI: { [name: string]: string } = {
  port: 'Cổng TCP của HTTP API; 0 là lấy một cổng trống bất kỳ.',
  host: 'Địa chỉ mà hub lắng nghe. Không có khóa API thì chỉ chấp nhận địa chỉ loopback.',
  home: 'Thư mục chứa mô hình, cơ sở dữ liệu và nhật ký.',
  device: 'Nơi mô hình chạy; auto chọn thiết bị tốt nhất thật sự hoạt động.',
  gpuLayers: 'Số lớp của mô hình nằm trên GPU; auto là nhiều nhất mà bộ nhớ trống chứa được, -1 là tất cả.',
  contextTokens: 'Ngữ cảnh của mô hình tính bằng token, các slot dùng chung.',
  slots: 'Số yêu cầu mà một mô hình xử lý cùng lúc; yêu cầu thêm phải chờ.',
  threads: 'Số luồng CPU của mô hình; 0 là số nhân vật lý trừ một.',
  batchTokens: 'Số token nhiều nhất trong một bước giải mã.',
  memoryFraction: 'Phần bộ nhớ trống mà các mô hình được dùng trước khi mô hình rảnh lâu nhất bị gỡ xuống.',
  promptCacheMiB: 'Bộ nhớ cho mỗi mô hình để giữ lời nhắc đã tính của các cuộc hội thoại đang rảnh; 0 là không giữ.',
  kvType: 'Kiểu số của bộ nhớ đệm KV.',
  flashAttention: 'Có tính attention theo cách gộp hay không.',
  useMmap: 'Ánh xạ tệp mô hình vào bộ nhớ thay vì đọc chúng.',
  poll: 'Các luồng CPU rảnh của mô hình đang chạy chờ bận rộn đến mức nào, từ 0 đến 100.',
  maxQueue: 'Số yêu cầu được phép chờ một mô hình; yêu cầu thêm nhận mã 429.',
  idleUnloadMinutes: 'Số phút không có yêu cầu trước khi mô hình bị gỡ xuống; 0 là không bao giờ.',
  allowedOrigins: 'Nguồn của các trang web được phép gọi hub.',
  logLevel: 'Mức thấp nhất của những gì được ghi vào nhật ký.',
}

/** Things that are asked about as a whole. */
const FACTS: [questions: string[], answer: string][] = [
  [
    [
      'What is AI Backend Hub?',
      'What is this program?',
      'What does AI Backend Hub do?',
      'What is the hub?',
      'What is this?',
    ],
    "AI Backend Hub is one local server for GGUF models. It speaks OpenAI's HTTP API, and nothing leaves the machine.",
  ],
  [
    ['AI Backend Hub là gì?', 'Chương trình này là gì?', 'Hub làm gì?', 'Đây là gì?'],
    'AI Backend Hub là một máy chủ cục bộ cho các mô hình GGUF. Nó nói HTTP API của OpenAI, và không có gì rời khỏi máy.',
  ],
  [
    ['How do I start the hub?', 'How do I start the server?', 'How can I run it?', 'Which command starts the hub?'],
    'Run `npm start` in a clone, or `ai-hub serve`.',
  ],
  [
    ['Làm sao để khởi động hub?', 'Chạy hub bằng lệnh nào?', 'Khởi động máy chủ thế nào?'],
    'Chạy `npm start`, hoặc `ai-hub serve`.',
  ],
  [
    ['How do I stop the hub?', 'How do I stop the server?'],
    'Press Ctrl+C in its terminal; pressing it again ends it at once.',
  ],
  [['Làm sao để dừng hub?', 'Dừng hub thế nào?'], 'Nhấn Ctrl+C trong cửa sổ lệnh của nó.'],
  [
    ['How do I run the tests?', 'Which command runs the tests?'],
    'Run `npm test`: types, formatter, linter and all tests.',
  ],
  [['Làm sao để chạy kiểm thử?'], 'Chạy `npm test`.'],
  [
    ['How do I add a model?', 'Where do I put a model?', 'How do I install a model?', 'Where do GGUF files go?'],
    'Copy the GGUF file into a folder of local_models, such as local_models/chat_models. It is listed within a second.',
  ],
  [
    ['Làm sao để thêm mô hình?', 'Đặt mô hình ở đâu?', 'Tệp GGUF đặt ở đâu?'],
    'Chép tệp GGUF vào một thư mục của local_models, ví dụ local_models/chat_models. Hub thấy nó trong một giây.',
  ],
  [
    ['Does anything leave my machine?', 'Is my data sent anywhere?', 'Is there telemetry?', 'Is it private?'],
    'No. There is no telemetry and no call to an outside address: nothing leaves the machine.',
  ],
  [['Dữ liệu của tôi có bị gửi đi không?', 'Có riêng tư không?'], 'Không. Không có gì rời khỏi máy của bạn.'],
  [
    ['Which port does the hub use?', 'What is the address of the API?'],
    'http://127.0.0.1:8000/v1, unless the setting `port` says otherwise.',
  ],
  [['Hub dùng cổng nào?', 'Địa chỉ của API là gì?'], 'http://127.0.0.1:8000/v1, trừ khi thiết lập `port` nói khác.'],
  [
    ['Do I need Python?', 'Is Python needed?'],
    'No. Everything, training included, runs in Node with native libraries that `npm ci` brings.',
  ],
  [['Có cần Python không?'], 'Không. Mọi thứ, kể cả huấn luyện, chạy trong Node.'],
  [
    ['What do I have to install?', 'How do I install it?'],
    'Run `npm ci && npm start`. Nothing else has to be installed.',
  ],
  [['Cài đặt thế nào?', 'Cần cài gì?'], 'Chạy `npm ci && npm start`. Không cần cài gì khác.'],
  [
    ['What is a GGUF file?', 'What is GGUF?'],
    'A GGUF file holds a model: its weights, its tokenizer and its settings, in one file.',
  ],
  [['GGUF là gì?', 'Tệp GGUF là gì?'], 'Tệp GGUF chứa một mô hình: trọng số, bộ tách từ và thiết lập, trong một tệp.'],
  [
    ['What is LoRA?', 'What is a LoRA adapter?'],
    'LoRA trains small low-rank matrices beside frozen weights. The result is an adapter, a small file for the same base model.',
  ],
  [
    ['LoRA là gì?'],
    'LoRA huấn luyện các ma trận nhỏ bên cạnh trọng số cố định. Kết quả là một adapter, một tệp nhỏ cho cùng mô hình gốc.',
  ],
  [
    ['What is a token?'],
    'A token is a piece of text, often a part of a word, that a model reads and writes as one number.',
  ],
  [['Token là gì?'], 'Token là một mẩu văn bản, thường là một phần của từ, mà mô hình đọc và viết như một con số.'],
  [
    ['What is fill-in-the-middle?', 'What is FIM?'],
    'The model sees the text before and after the cursor and writes what belongs between them.',
  ],
  [
    ['What is a context?', 'What is the context of a model?'],
    'The tokens that a model sees at once: the conversation so far and what it writes.',
  ],
  [
    ['What is quantisation?', 'What does Q4_K_M mean?'],
    'Quantisation stores weights in fewer bits, so that a model needs less memory. Q4_K_M takes about 4.8 bits per weight.',
  ],
  [
    ['What is a model card?', 'What is NAME.model.json?'],
    'A file NAME.model.json beside NAME.gguf: description, sampling, context size and more, all optional.',
  ],
  [
    ['How do I train a model?', 'How do I make an adapter?'],
    'Write a job file and run `node server/trainer/main.ts JOB.json`. It writes an adapter for the base model.',
  ],
  [
    ['How do I list the models?', 'Which command lists the models?', 'How can I see the models?'],
    'Run `ai-hub models`.',
  ],
  [['Làm sao để xem các mô hình?', 'Lệnh nào liệt kê mô hình?'], 'Chạy `ai-hub models`.'],
  [
    ['How do I chat in the terminal?', 'Which command starts a chat?', 'How can I talk to a model?'],
    'Run `ai-hub chat`; with `--model ID` it is the model that you name.',
  ],
  [['Làm sao để trò chuyện với mô hình?', 'Trò chuyện bằng lệnh nào?'], 'Chạy `ai-hub chat`.'],
  [
    [
      'Something does not work.',
      'How do I find out what is wrong?',
      'Which command looks for problems?',
      'It does not work.',
    ],
    'Run `ai-hub doctor`: it looks at everything the hub needs and says what to do about what is missing.',
  ],
  [
    ['Hub không chạy, phải làm sao?', 'Làm sao để tìm lỗi?', 'Có gì đó không chạy.'],
    'Chạy `ai-hub doctor`: nó xem mọi thứ và nói phải làm gì.',
  ],
  [
    ['How do I change a setting?', 'How do I change the settings?'],
    'On the command line, in the environment, with PATCH /v1/settings, or in settings.json of home.',
  ],
  [
    ['Làm sao để đổi thiết lập?', 'Đổi thiết lập ở đâu?'],
    'Trên dòng lệnh, trong biến môi trường, bằng PATCH /v1/settings, hoặc trong settings.json.',
  ],
  [
    ['Which endpoint is for chat?', 'How do I send a chat request?'],
    'POST /v1/chat/completions with model and messages.',
  ],
  [
    ['Which endpoint completes code?', 'Which endpoint is for fill-in-the-middle?'],
    'POST /infill, or POST /v1/completions with suffix.',
  ],
  [['Which endpoint gives embeddings?', 'How do I get embeddings?'], 'POST /v1/embeddings with model and input.'],
  [['Where are the logs?'], 'In the folder logs of home.'],
  [['Where is the database?'], 'In the file hub.db in home.'],
  [['Which operating systems are supported?', 'Does it run on Windows?'], 'Linux, Windows and macOS.'],
  [
    ['Does it use the GPU?', 'Which GPUs work?'],
    'Yes: CUDA, Metal or Vulkan where a device really works, else the CPU.',
  ],
  [
    ['Can it use the OpenAI client?', 'Does the openai package work with it?'],
    'Yes. Give the client the baseURL http://127.0.0.1:8000/v1 and any apiKey.',
  ],
]

/** What the commands do, in Vietnamese. */
const COMMANDS_VI: { [name: string]: string } = {
  'ai-hub serve': 'Khởi động hub và giữ nó chạy cho đến khi nhấn Ctrl+C.',
  'ai-hub models': 'Liệt kê các mô hình với kích thước, lượng tử hóa, ngữ cảnh và trạng thái.',
  'ai-hub chat': 'Trò chuyện với một mô hình trong cửa sổ lệnh.',
  'ai-hub doctor': 'Xem mọi thứ mà hub cần và nói phải làm gì với thứ còn thiếu.',
  'ai-hub help': 'Cho xem các tùy chọn của một lệnh.',
  'ai-hub version': 'Cho biết phiên bản.',
}

/** Rows of README.md's tables whose first cell is one thing in backticks: the thing, and the cells behind it as text. */
export function tableRows(readme: string): [name: string, ...cells: string[]][] {
  const rows: [string, ...string[]][] = []
  for (const line of readme.split('\n')) {
    const cells = line.split('|').map(cell => cell.trim())
    const name = /^`([^`]+)`$/.exec(cells[1] ?? '')?.[1]
    if (line.startsWith('|') && name !== undefined) rows.push([name, ...cells.slice(2, -1)])
  }
  return rows
}

const plain = (text: string): string => text.replace(/\s+/g, ' ').trim()

/** @param root of the project */
export function productExchanges(root: string): Exchange[] {
  const found: Exchange[] = []
  const add = (answer: string, ...questions: string[]): void => {
    for (const question of questions) found.push({ topic: 'product', question, answer })
  }
  for (const [questions, answer] of FACTS) add(answer, ...questions)

  const defaults = Settings.parse({})
  for (const name of SETTING_NAMES) {
    const meaning = plain(describeSetting(name))
    const value = defaults[name]
    const shown = Array.isArray(value) || value === '' ? 'empty' : String(value)
    const option = `--${name.replace(/([KMG]i)B/g, '$1b').replace(/[A-Z]/g, letter => `-${letter.toLowerCase()}`)}`
    add(
      meaning,
      `What does the setting ${name} do?`,
      `What is ${name}?`,
      `What does ${name} mean?`,
      `Explain the setting \`${name}\`.`,
      `What is the setting ${name} for?`,
    )
    add(
      `The default of ${name} is ${shown}.`,
      `What is the default of ${name}?`,
      `What is the default value of ${name}?`,
    )
    add(
      `${environmentName(name)}`,
      `Which environment variable sets ${name}?`,
      `What is ${name} called in the environment?`,
    )
    add(`\`ai-hub serve ${option} VALUE\``, `How do I set ${name} on the command line?`, `Which option sets ${name}?`)
    const vietnamese = SETTINGS_VI[name]
    if (vietnamese === undefined) continue
    add(
      vietnamese,
      `Thiết lập ${name} làm gì?`,
      `${name} là gì?`,
      `${name} nghĩa là gì?`,
      `Giải thích thiết lập ${name}.`,
    )
    add(`Giá trị mặc định của ${name} là ${shown}.`, `Giá trị mặc định của ${name} là gì?`)
    add(`Biến môi trường ${environmentName(name)}.`, `Biến môi trường nào đặt ${name}?`)
  }

  for (const [name, ...cells] of tableRows(readFileSync(join(root, 'README.md'), 'utf8'))) {
    const meaning = plain(cells.at(-1) ?? '')
    if (meaning === '') continue
    if (name.startsWith('ai-hub ')) {
      add(meaning, `What does ${name} do?`, `What does \`${name}\` do?`, `Explain the command ${name}.`)
      const vietnamese = COMMANDS_VI[name]
      if (vietnamese !== undefined)
        add(vietnamese, `${name} làm gì?`, `Lệnh ${name} để làm gì?`, `Giải thích lệnh ${name}.`)
    } else if (/^(GET|POST|PATCH|PUT|DELETE) \//.test(name)) {
      const path = name.split(' ')[1]
      add(meaning, `What does ${name} do?`, `What is the endpoint ${path} for?`, `Explain ${name}.`, `${name} làm gì?`)
    } else if (/_models$/.test(name)) {
      add(
        `It is for ${meaning}.`,
        `What is the folder ${name} for?`,
        `What goes into ${name}?`,
        `Thư mục ${name} để làm gì?`,
      )
    } else if (name.startsWith('server/')) {
      add(meaning, `What is in ${name}?`, `What is the room ${name} for?`)
    } else if (/^-?[\d.]+$/.test(cells[0] ?? '') && cells.length === 2) {
      add(
        `The default of ${name} is ${cells[0]}; ${meaning}.`,
        `What is the default of ${name}?`,
        `What does ${name} do?`,
      )
    }
  }
  return found
}
