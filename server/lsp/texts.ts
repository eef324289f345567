/** What the language server says to a user, in English and Vietnamese. */

const TEXTS = {
  fix: ['AI: fix "{}"', 'AI: sửa "{}"'],
  explain: ['AI: explain', 'AI: giải thích'],
  document: ['AI: document {}', 'AI: viết tài liệu cho {}'],
  tests: ['AI: write tests in {}', 'AI: viết kiểm thử trong {}'],
  rewrite: ['AI: rewrite…', 'AI: viết lại…'],
  rewriteAs: ['AI: rewrite: {}', 'AI: viết lại: {}'],
  simplify: ['AI: simplify', 'AI: đơn giản hoá'],
  name: ['AI: suggest a better name for {}', 'AI: gợi ý tên hay hơn cho {}'],
  translateEn: ['AI: translate comments into English', 'AI: dịch chú thích sang tiếng Anh'],
  translateVi: ['AI: translate comments into Vietnamese', 'AI: dịch chú thích sang tiếng Việt'],
  applyFinding: ['AI review: apply the suggested fix', 'AI đánh giá: áp dụng cách sửa được gợi ý'],
  dismissFinding: ['AI review: dismiss for good', 'AI đánh giá: bỏ qua vĩnh viễn'],
  confirm: ['Written by a model. Look at it before you accept it.', 'Do mô hình viết. Hãy xem trước khi chấp nhận.'],
  explanation: ['Explanation', 'Giải thích'],
  reviewing: ['Reviewing', 'Đang đánh giá mã'],
  thinking: ['Asking the model', 'Đang hỏi mô hình'],
  characters: ['{} characters', '{} ký tự'],
  changed: [
    'The document changed meanwhile, so nothing was edited. Ask again.',
    'Tài liệu đã thay đổi trong lúc chờ nên không có gì được sửa. Hãy thử lại.',
  ],
  noCreate: [
    'This editor cannot make files for a language server. Make {} first.',
    'Trình soạn thảo này không tạo được tệp cho máy chủ ngôn ngữ. Hãy tạo {} trước.',
  ],
  unreviewed: [
    '{} could not be reviewed: the answers of the model were unusable.',
    'Không đánh giá được {}: câu trả lời của mô hình không dùng được.',
  ],
  files: ['{} files', '{} tệp'],
} as const satisfies { [name: string]: readonly [en: string, vi: string] }

export type Locale = 'en' | 'vi'
export type TextName = keyof typeof TEXTS

export function say(locale: Locale, name: TextName, value = ''): string {
  return TEXTS[name][locale === 'vi' ? 1 : 0].replace('{}', () => value)
}

/** One short line of a text, for a title. */
export function short(text: string, most = 60): string {
  const line = text.replaceAll(/\s+/g, ' ').trim()
  return line.length <= most ? line : `${[...line].slice(0, most - 1).join('')}…`
}
