/** Questions and answers of the documentation's pictures. They are written for it; a script says them in a model's place. */

/** `other` is what the model named `coder` says. */
export type Talk = { question: string; thought?: string; answer: string; other?: string }

export const BINARY_SEARCH: Talk = {
  question: 'How do I find a value in a sorted array quickly? Show it in TypeScript.',
  answer: `Use **binary search**: look at the middle, then go on in the half that can still hold the value. Each look halves what is left, so $n$ values take about $\\log_2 n$ looks.

\`\`\`ts
/** Index of the value, or -1. The values must be sorted. */
export function indexOfSorted(values: readonly number[], value: number): number {
  let low = 0
  let high = values.length - 1
  while (low <= high) {
    const middle = (low + high) >> 1
    if (values[middle] === value) return middle
    if (values[middle]! < value) low = middle + 1
    else high = middle - 1
  }
  return -1
}
\`\`\`

| Values | Looks, at most |
|---:|---:|
| 1,000 | 10 |
| 1,000,000 | 20 |
| 1,000,000,000 | 30 |`,
}

export const QUADRATIC: Talk = {
  question: 'Giải phương trình $x^2 - 5x + 6 = 0$ từng bước giúp mình nhé.',
  thought: 'Hệ số a = 1, b = -5, c = 6. Tính biệt thức rồi dùng công thức nghiệm, sau đó thử lại bằng định lý Vi-ét.',
  answer: `Đây là phương trình bậc hai với $a = 1$, $b = -5$, $c = 6$.

1. **Tính biệt thức:**

   $$\\Delta = b^2 - 4ac = (-5)^2 - 4 \\cdot 1 \\cdot 6 = 1$$

2. **Vì** $\\Delta > 0$, phương trình có hai nghiệm phân biệt:

   $$x_{1,2} = \\frac{-b \\pm \\sqrt{\\Delta}}{2a} = \\frac{5 \\pm 1}{2}$$

3. **Kết quả:** $x_1 = 3$ và $x_2 = 2$.

> Thử lại: $3 + 2 = 5$ và $3 \\cdot 2 = 6$, đúng với định lý Vi-ét.`,
}

export const MAIL: Talk = {
  question: 'Write a short, friendly reminder about the team meeting on Thursday at 10.',
  answer: `**Team meeting on Thursday**

Hi everyone,

a quick reminder that we meet on **Thursday at 10:00**. Please bring:

- one thing that went well,
- one thing you would like help with.

See you then!`,
  other: `Subject: Thursday, 10:00

Hello all, this is a reminder of our team meeting on Thursday at 10:00. Please prepare a short status of your work.

Best regards`,
}

export const RECIPE: Talk = {
  question: 'Gợi ý thực đơn ba món cho bữa tối gia đình, nấu trong một giờ.',
  answer: `| Món | Thời gian | Chuẩn bị |
|---|---:|---|
| Canh chua cá | 30 phút | cá, me, cà chua, bạc hà |
| Thịt kho trứng | 50 phút | thịt ba chỉ, trứng, nước dừa |
| Rau muống xào tỏi | 10 phút | rau muống, tỏi |

**Thứ tự nấu:** kho thịt trước, nấu canh khi thịt đang sôi, xào rau sau cùng để rau còn giòn.`,
}

export const TALKS = [BINARY_SEARCH, QUADRATIC, MAIL, RECIPE]

const CAPITALS = {
  'Việt Nam': 'Hà Nội',
  Lào: 'Viêng Chăn',
  Campuchia: 'Phnôm Pênh',
  'Thái Lan': 'Băng Cốc',
  Malaysia: 'Kuala Lumpur',
  Indonesia: 'Jakarta',
  Philippines: 'Manila',
  'Nhật Bản': 'Tokyo',
  'Hàn Quốc': 'Seoul',
  'Trung Quốc': 'Bắc Kinh',
  'Ấn Độ': 'New Delhi',
  Nepal: 'Kathmandu',
  'Mông Cổ': 'Ulaanbaatar',
  Pháp: 'Paris',
  Đức: 'Berlin',
  Anh: 'Luân Đôn',
  Ý: 'Roma',
  'Tây Ban Nha': 'Madrid',
  'Bồ Đào Nha': 'Lisboa',
  'Hà Lan': 'Amsterdam',
  'Thụy Điển': 'Stockholm',
  'Na Uy': 'Oslo',
  'Phần Lan': 'Helsinki',
  'Ba Lan': 'Warszawa',
  Áo: 'Viên',
  'Hy Lạp': 'Athena',
  'Ai Cập': 'Cairo',
  Kenya: 'Nairobi',
  Canada: 'Ottawa',
  Cuba: 'La Habana',
}

/** A small dataset in Vietnamese that even the starter learns from in a minute: the same questions in two wordings. */
export function capitals(): string {
  const lines = Object.entries(CAPITALS).flatMap(([country, capital]) => [
    { instruction: `Thủ đô của ${country} là gì?`, output: `Thủ đô của ${country} là ${capital}.` },
    { instruction: `${country} có thủ đô là thành phố nào?`, output: `${capital} là thủ đô của ${country}.` },
  ])
  return lines.map(line => JSON.stringify(line)).join('\n')
}
