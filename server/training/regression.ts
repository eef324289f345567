/** A small fixed set of general questions in English and Vietnamese: what a model could do before its training and should still do after it. */
import type { Sample } from '../wire/sample.ts'

export type RegressionItem = {
  id: string
  language: 'en' | 'vi'
  prompt: string
  /** A right answer, whose loss is measured. */
  reference: string
  /** What a right answer matches. */
  right: RegExp
}

/** Longest answer that is asked for, in tokens. */
export const REGRESSION_ANSWER_TOKENS = 96

const en = (id: string, prompt: string, reference: string, right: RegExp): RegressionItem => ({
  id: `en_${id}`,
  language: 'en',
  prompt,
  reference,
  right,
})
const vi = (id: string, prompt: string, reference: string, right: RegExp): RegressionItem => ({
  id: `vi_${id}`,
  language: 'vi',
  prompt,
  reference,
  right,
})

/** Changing an item makes reports incomparable with earlier ones: add new ones instead. */
export const REGRESSION_SET: readonly RegressionItem[] = [
  en('capital', 'What is the capital of France? Answer with one word.', 'Paris', /\bparis\b/i),
  en('sum', 'What is 17 + 25? Answer with the number only.', '42', /\b42\b/),
  en('product', 'What is 6 times 7? Answer with the number only.', '42', /\b42\b/),
  en('opposite', 'What is the opposite of "hot"? Answer with one word.', 'Cold', /\bcold\b/i),
  en('days', 'How many days are there in a week? Answer with the number only.', '7', /\b(7|seven)\b/i),
  en('planet', 'Which planet do we live on? Answer with one word.', 'Earth', /\bearth\b/i),
  en('water', 'At how many degrees Celsius does water boil at sea level? Number only.', '100', /\b100\b/),
  en('plural', 'What is the plural of "child"? Answer with one word.', 'Children', /\bchildren\b/i),
  en('colours', 'Name the colour of the sky on a clear day. One word.', 'Blue', /\bblue\b/i),
  en('translate', 'Translate into French: "Good morning".', 'Bonjour', /\bbonjour\b/i),
  en(
    'list',
    'Write the numbers from 1 to 5, separated by commas, and nothing else.',
    '1, 2, 3, 4, 5',
    /\b1\s*,\s*2\s*,\s*3\s*,\s*4\s*,\s*5\b/,
  ),
  en(
    'json',
    'Reply with a JSON object that has one key "ok" with the value true, and nothing else.',
    '{"ok": true}',
    /\{\s*"ok"\s*:\s*true\s*\}/,
  ),
  en(
    'code',
    'Write a Python expression that gives the length of the list items. Only the expression.',
    'len(items)',
    /\blen\(\s*items\s*\)/,
  ),
  en(
    'reason',
    'Anna is taller than Ben. Ben is taller than Carl. Who is the shortest? Answer with the name.',
    'Carl',
    /\bcarl\b/i,
  ),
  vi('capital', 'Thủ đô của Việt Nam là thành phố nào? Chỉ trả lời tên thành phố.', 'Hà Nội', /hà\s*nội/i),
  vi('sum', '15 cộng 27 bằng bao nhiêu? Chỉ trả lời bằng số.', '42', /\b42\b/),
  vi('product', '8 nhân 5 bằng bao nhiêu? Chỉ trả lời bằng số.', '40', /\b40\b/),
  vi('opposite', 'Từ trái nghĩa với "nóng" là gì? Trả lời bằng một từ.', 'Lạnh', /lạnh|nguội/i),
  vi('months', 'Một năm có bao nhiêu tháng? Chỉ trả lời bằng số.', '12', /\b12\b|mười hai/i),
  vi('colour', 'Lá cây thường có màu gì? Trả lời ngắn gọn.', 'Màu xanh', /xanh/i),
  vi('translate', 'Dịch sang tiếng Anh: "Xin chào".', 'Hello', /\b(hello|hi)\b/i),
  vi('translate_back', 'Dịch sang tiếng Việt: "Thank you".', 'Cảm ơn', /c(ả|á)m ơn/i),
  vi('animal', 'Con vật nào kêu "meo meo"? Trả lời bằng một từ.', 'Mèo', /mèo/i),
  vi('city', 'Hồ Hoàn Kiếm nằm ở thành phố nào? Chỉ trả lời tên thành phố.', 'Hà Nội', /hà\s*nội/i),
  vi(
    'order',
    'Viết các số từ 1 đến 5, cách nhau bằng dấu phẩy, không viết gì thêm.',
    '1, 2, 3, 4, 5',
    /1\s*,\s*2\s*,\s*3\s*,\s*4\s*,\s*5/,
  ),
  vi(
    'code',
    'Viết biểu thức JavaScript cho biết độ dài của mảng items. Chỉ viết biểu thức.',
    'items.length',
    /items\.length/,
  ),
  vi('reason', 'An cao hơn Bình. Bình cao hơn Chi. Ai thấp nhất? Chỉ trả lời tên.', 'Chi', /\bchi\b/i),
  vi(
    'proverb',
    'Hoàn thành câu tục ngữ: "Có công mài sắt, có ngày nên ..." Chỉ trả lời từ còn thiếu.',
    'kim',
    /\bkim\b/i,
  ),
]

/** An item as a sample; a model without a chat template is asked in plain text. */
export function regressionSample({ prompt, reference }: RegressionItem, hasChatTemplate: boolean): Sample {
  return hasChatTemplate
    ? {
        kind: 'chat',
        messages: [
          { role: 'user', content: prompt },
          { role: 'assistant', content: reference },
        ],
      }
    : { kind: 'completion', prompt: `Question: ${prompt}\nAnswer:`, completion: ` ${reference}\n` }
}
