/** Greetings, small talk about what this model is, and simple grammar, in English and Vietnamese. */
import type { Exchange } from './exchange.ts'

/** Each line: ways to say it | answers to it. */
const TALK: [asked: string[], answers: string[]][] = [
  [
    ['Hello', 'Hello!', 'Hi', 'Hi!', 'Hi there', 'Hey', 'Good day', 'Hello there!', 'hello', 'hi'],
    ['Hello! How can I help you?', 'Hi! What would you like to know?'],
  ],
  [['Good morning', 'Good morning!'], ['Good morning! What are you working on today?']],
  [['Good evening', 'Good evening!'], ['Good evening! How can I help you?']],
  [['Good night', 'Good night!'], ['Good night! Sleep well.']],
  [
    ['How are you?', 'How are you doing?', 'How is it going?', 'Are you well?'],
    ['I am well, thank you. How can I help you?'],
  ],
  [
    ['Thank you', 'Thanks!', 'Thank you very much', 'Thanks a lot', 'thanks'],
    ['You are welcome!', 'My pleasure. Is there anything else?'],
  ],
  [['Goodbye', 'Bye', 'Bye!', 'See you', 'See you later', 'See you tomorrow'], ['Goodbye! See you soon.']],
  [
    ['Who are you?', 'What are you?', 'What is your name?', 'What model are you?', 'Tell me about yourself.'],
    [
      'I am the starter model of AI Backend Hub, a toy with four million parameters. For real work, put a larger model in local_models.',
    ],
  ],
  [
    ['Are you intelligent?', 'How good are you?', 'Can I rely on you?', 'Are your answers right?', 'Can I trust you?'],
    [
      'I am a toy: I complete code a little and know short answers about this program. Check what I say, and use a larger model for real work.',
    ],
  ],
  [
    ['What can you do?', 'What can you help me with?', 'How can you help me?', 'What do you know?'],
    [
      'I complete lines of code, answer short questions about AI Backend Hub and TypeScript, and say hello in English and Vietnamese.',
    ],
  ],
  [
    ['What can you not do?', 'What are your limits?', 'What do you not know?'],
    [
      'I know little of the world and I am often wrong. I am here so that the hub has something to load; a real model does far more.',
    ],
  ],
  [
    ['Which languages do you speak?', 'Do you speak Vietnamese?', 'What languages do you know?'],
    ['A little English and a little Vietnamese.'],
  ],
  [['Do you speak English?'], ['Yes, a little English and a little Vietnamese.']],
  [
    ['Who made you?', 'Where do you come from?', 'How were you trained?', 'Who trained you?'],
    [
      "I was trained from a random start by AI Backend Hub's own trainer, on source code and documents of a developer's machine.",
    ],
  ],
  [
    [
      'How do I get a better model?',
      'Where can I get a real model?',
      'I want a better model.',
      'How do I get a real model?',
    ],
    [
      'Copy any GGUF file, for example an instruct model in Q4_K_M, into local_models/chat_models. The hub lists it within a second.',
    ],
  ],
  [['Can you help me?', 'I need help.', 'Help me please.', 'Help'], ['Of course. What is it about?']],
  [['I am tired.', 'I am so tired today.'], ['Then take a short break. The code will wait.']],
  [['I am happy.', 'I am happy today!'], ['I am glad to hear that!']],
  [['Nice to meet you.', 'Pleased to meet you.'], ['Nice to meet you too!']],
  [['Sorry', 'I am sorry.', 'My mistake.'], ['No problem at all.']],
  [['Yes', 'Yes please.', 'OK', 'Okay'], ['Good. What would you like to do?']],
  [['No', 'No, thank you.'], ['All right. Tell me when you need something.']],
  [
    ['Tell me a joke.', 'Do you know a joke?'],
    ['Why do programmers mix up Halloween and Christmas? Because oct 31 equals dec 25.'],
  ],
  [
    ['What is the weather like?', 'What time is it?', 'What is the news today?', 'What day is it today?'],
    ['I cannot know that: nothing leaves this machine, and I have no clock.'],
  ],
  [
    [
      'Xin chào',
      'Xin chào!',
      'Chào bạn',
      'Chào bạn!',
      'Chào',
      'chào bạn',
      'xin chào',
      'Chào anh',
      'Chào chị',
      'Chào em',
    ],
    ['Xin chào! Tôi có thể giúp gì cho bạn?', 'Chào bạn! Bạn cần giúp gì?'],
  ],
  [['Chào buổi sáng', 'Chào buổi sáng!'], ['Chào buổi sáng! Hôm nay bạn làm gì?']],
  [['Chào buổi tối', 'Chào buổi tối!'], ['Chào buổi tối! Tôi có thể giúp gì cho bạn?']],
  [['Chúc ngủ ngon', 'Chúc bạn ngủ ngon!'], ['Chúc bạn ngủ ngon!']],
  [
    ['Bạn khỏe không?', 'Bạn có khỏe không?', 'Bạn thế nào?', 'Dạo này bạn thế nào?'],
    ['Tôi khỏe, cảm ơn bạn. Tôi có thể giúp gì cho bạn?'],
  ],
  [
    ['Cảm ơn', 'Cảm ơn bạn', 'Cảm ơn bạn nhiều', 'Cám ơn', 'cảm ơn nhé'],
    ['Không có gì!', 'Rất vui được giúp bạn.'],
  ],
  [['Tạm biệt', 'Tạm biệt!', 'Hẹn gặp lại', 'Hẹn gặp lại bạn'], ['Tạm biệt! Hẹn gặp lại bạn.']],
  [
    ['Bạn là ai?', 'Bạn tên là gì?', 'Bạn là mô hình gì?', 'Giới thiệu về bạn đi.', 'Tên bạn là gì?'],
    [
      'Tôi là mô hình khởi đầu của AI Backend Hub, một món đồ chơi với bốn triệu tham số. Để làm việc thật, hãy đặt một mô hình lớn hơn vào local_models.',
    ],
  ],
  [
    ['Bạn làm được gì?', 'Bạn có thể làm gì?', 'Bạn giúp được gì cho tôi?', 'Bạn biết gì?'],
    ['Tôi hoàn thành dòng mã, trả lời ngắn về AI Backend Hub và TypeScript, và chào hỏi bằng tiếng Anh và tiếng Việt.'],
  ],
  [
    ['Bạn có thông minh không?', 'Tôi tin bạn được không?', 'Bạn trả lời có đúng không?'],
    ['Tôi chỉ là một món đồ chơi và hay sai. Hãy kiểm tra điều tôi nói, và dùng mô hình lớn hơn cho việc thật.'],
  ],
  [
    ['Bạn biết tiếng Việt không?', 'Bạn nói tiếng Việt được không?', 'Bạn nói tiếng gì?'],
    ['Có, một chút tiếng Việt và một chút tiếng Anh.'],
  ],
  [
    ['Làm sao để có mô hình tốt hơn?', 'Tôi muốn một mô hình tốt hơn.', 'Lấy mô hình thật ở đâu?'],
    [
      'Hãy chép một tệp GGUF, ví dụ một mô hình hội thoại Q4_K_M, vào local_models/chat_models. Hub sẽ thấy nó trong một giây.',
    ],
  ],
  [
    ['Ai tạo ra bạn?', 'Bạn được huấn luyện thế nào?'],
    ['Tôi được huấn luyện từ đầu bằng chính trình huấn luyện của AI Backend Hub, trên mã nguồn và tài liệu.'],
  ],
  [['Giúp tôi với.', 'Bạn giúp tôi được không?', 'Tôi cần giúp đỡ.'], ['Được chứ. Bạn cần gì?']],
  [['Rất vui được gặp bạn.', 'Rất vui được làm quen.'], ['Tôi cũng rất vui được gặp bạn!']],
  [['Xin lỗi', 'Xin lỗi bạn.'], ['Không sao đâu.']],
  [['Vâng', 'Được', 'Đồng ý'], ['Tốt. Bạn muốn làm gì?']],
  [['Không', 'Không, cảm ơn.'], ['Được rồi. Khi nào cần thì gọi tôi nhé.']],
  [['Tôi mệt.', 'Hôm nay tôi mệt quá.'], ['Vậy bạn nghỉ một chút nhé. Mã nguồn sẽ đợi bạn.']],
  [['Hôm nay tôi vui.', 'Tôi rất vui.'], ['Tôi mừng cho bạn!']],
  [
    ['Thời tiết hôm nay thế nào?', 'Bây giờ là mấy giờ?', 'Hôm nay là thứ mấy?'],
    ['Tôi không biết được: không có gì rời khỏi máy này, và tôi không có đồng hồ.'],
  ],
]

/** Infinitive, past, participle, third person. */
const VERBS =
  `go went gone goes|write wrote written writes|read read read reads|run ran run runs|take took taken takes|give gave given gives
see saw seen sees|eat ate eaten eats|drink drank drunk drinks|speak spoke spoken speaks|know knew known knows|begin began begun begins
break broke broken breaks|bring brought brought brings|buy bought bought buys|build built built builds|come came come comes|do did done does
drive drove driven drives|find found found finds|fly flew flown flies|forget forgot forgotten forgets|get got got gets|keep kept kept keeps
learn learned learned learns|leave left left leaves|make made made makes|meet met met meets|pay paid paid pays|send sent sent sends
sing sang sung sings|sit sat sat sits|sleep slept slept sleeps|stand stood stood stands|swim swam swum swims|teach taught taught teaches
tell told told tells|think thought thought thinks|wear wore worn wears|win won won wins|work worked worked works|play played played plays
open opened opened opens|close closed closed closes|start started started starts|stop stopped stopped stops|call called called calls|load loaded loaded loads`
    .split(/[|\n]/)
    .map(line => line.split(' '))

const PLURALS =
  `cat cats|dog dogs|child children|man men|woman women|foot feet|tooth teeth|mouse mice|person people|box boxes|city cities|baby babies
leaf leaves|knife knives|life lives|bus buses|class classes|key keys|day days|country countries|fish fish|sheep sheep|model models|file files
index indices|query queries|branch branches|process processes|library libraries|array arrays|patch patches|error errors|server servers|story stories`
    .split(/[|\n]/)
    .map(line => line.split(' '))

const OPPOSITES =
  `big small|hot cold|fast slow|new old|open closed|true false|good bad|early late|easy difficult|full empty|high low|light dark|long short
rich poor|strong weak|happy sad|clean dirty|wet dry|young old|left right|up down|first last|loud quiet|cheap expensive|near far`
    .split(/[|\n]/)
    .map(line => line.split(' '))

/** Wrong, right. */
const CORRECTIONS: [wrong: string, right: string][] = [
  ['He go to school every day.', 'He goes to school every day.'],
  ['She have two cats.', 'She has two cats.'],
  ['They was late.', 'They were late.'],
  ['I has a question.', 'I have a question.'],
  ['We is ready.', 'We are ready.'],
  ['He do not know.', 'He does not know.'],
  ['She write code yesterday.', 'She wrote code yesterday.'],
  ['I am agree with you.', 'I agree with you.'],
  ['He can sings.', 'He can sing.'],
  ['There is many files.', 'There are many files.'],
  ['This are my friends.', 'These are my friends.'],
  ['I seen the film last week.', 'I saw the film last week.'],
  ['She is more taller than me.', 'She is taller than me.'],
  ['It are raining.', 'It is raining.'],
  ['You was right.', 'You were right.'],
  ['He did not went home.', 'He did not go home.'],
  ['I have finish the work.', 'I have finished the work.'],
  ['The servers is down.', 'The servers are down.'],
  ['She do her homework.', 'She does her homework.'],
  ['We goed to the market.', 'We went to the market.'],
  ['An user can log in.', 'A user can log in.'],
  ['It takes a hour.', 'It takes an hour.'],
]

const VIETNAMESE_WORDS =
  `hello xin chào|thank you cảm ơn|goodbye tạm biệt|water nước|rice cơm|house nhà|school trường học|book sách|computer máy tính|file tệp
folder thư mục|error lỗi|server máy chủ|model mô hình|function hàm|variable biến|friend bạn bè|family gia đình|cat con mèo|dog con chó
morning buổi sáng|evening buổi tối|today hôm nay|tomorrow ngày mai|yesterday hôm qua|one một|two hai|three ba|four bốn|five năm|ten mười
red màu đỏ|blue màu xanh|white màu trắng|black màu đen|good tốt|bad xấu|big lớn|small nhỏ|new mới|old cũ|fast nhanh|slow chậm|yes vâng|no không
teacher giáo viên|student học sinh|coffee cà phê|tea trà|river sông|mountain núi|sea biển|city thành phố|country đất nước|question câu hỏi|answer câu trả lời|code mã nguồn|data dữ liệu|test kiểm thử|training huấn luyện`
    .split(/[|\n]/)
    .map(line => {
      const words = line.split(' ')
      const english = line.startsWith('thank you') ? 2 : 1
      return [words.slice(0, english).join(' '), words.slice(english).join(' ')] as const
    })

export function talk(): Exchange[] {
  const found: Exchange[] = []
  const add = (topic: string, answer: string, ...questions: string[]): void => {
    for (const question of questions) found.push({ topic, question, answer })
  }
  for (const [asked, answers] of TALK)
    for (const [index, question] of asked.entries()) add('greetings', answers[index % answers.length]!, question)
  for (const [verb, past, participle, third] of VERBS) {
    add(
      'grammar',
      `The past tense of "${verb}" is "${past}".`,
      `What is the past tense of "${verb}"?`,
      `What is the past of ${verb}?`,
    )
    add('grammar', `The past participle of "${verb}" is "${participle}".`, `What is the past participle of "${verb}"?`)
    add('grammar', `He ${third}.`, `Put "${verb}" into the third person.`, `Complete: I ${verb}, he ...`)
    add('grammar', `Quá khứ của "${verb}" là "${past}".`, `Quá khứ của "${verb}" là gì?`)
  }
  for (const [one, many] of PLURALS) {
    add(
      'grammar',
      `The plural of "${one}" is "${many}".`,
      `What is the plural of "${one}"?`,
      `What is the plural of ${one}?`,
    )
    add('grammar', `Số nhiều của "${one}" là "${many}".`, `Số nhiều của "${one}" trong tiếng Anh là gì?`)
  }
  for (const [word, opposite] of OPPOSITES) {
    add(
      'grammar',
      `The opposite of "${word}" is "${opposite}".`,
      `What is the opposite of "${word}"?`,
      `What is the opposite of ${word}?`,
    )
  }
  for (const [wrong, right] of CORRECTIONS) {
    add('grammar', right, `Correct this sentence: ${wrong}`, `Correct the grammar: ${wrong}`, `Sửa câu này: ${wrong}`)
  }
  for (const [english, vietnamese] of VIETNAMESE_WORDS) {
    add(
      'words',
      `"${english}" in Vietnamese is "${vietnamese}".`,
      `What is "${english}" in Vietnamese?`,
      `How do you say "${english}" in Vietnamese?`,
    )
    add('words', `"${vietnamese}" trong tiếng Anh là "${english}".`, `"${vietnamese}" trong tiếng Anh là gì?`)
    add('words', `"${vietnamese}" in English is "${english}".`, `What is "${vietnamese}" in English?`)
  }
  return found
}
