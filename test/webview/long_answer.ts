/** A long answer as a model writes it, in tokens: text, lists, code, tables and formulas, in English and Vietnamese. */

const SECTIONS = [
  `Sorting means putting values into an order. The simplest way compares neighbours and swaps them until nothing is out of place, which takes about $n^2$ comparisons for $n$ values.

1. **Compare** each value with the next one.
2. **Swap** the two if they are in the wrong order.
3. **Repeat** until a whole pass swaps nothing; see \`sort()\` for what you would use in practice.`,
  `\`\`\`typescript
/** Sorts by merging halves that are sorted already. */
export function mergeSort<T>(values: readonly T[], before: (a: T, b: T) => boolean): T[] {
  if (values.length < 2) return [...values]
  const middle = values.length >> 1
  const [left, right] = [mergeSort(values.slice(0, middle), before), mergeSort(values.slice(middle), before)]
  const merged: T[] = []
  // Whichever begins with the smaller value gives it.
  while (left.length > 0 && right.length > 0) merged.push(before(right[0]!, left[0]!) ? right.shift()! : left.shift()!)
  return [...merged, ...left, ...right]
}
\`\`\``,
  `| Thuật toán | Trung bình | Xấu nhất | Bộ nhớ |
|---|---|---|---|
| Nổi bọt | $O(n^2)$ | $O(n^2)$ | $O(1)$ |
| Trộn | $O(n \\log n)$ | $O(n \\log n)$ | $O(n)$ |
| Nhanh | $O(n \\log n)$ | $O(n^2)$ | $O(\\log n)$ |`,
  `Số lần so sánh của sắp xếp trộn thỏa mãn công thức truy hồi sau, với $T(1) = 0$:

$$
T(n) = 2\\,T\\!\\left(\\frac{n}{2}\\right) + n - 1 = n \\log_2 n - n + 1
$$

> Nói cách khác: gấp đôi dữ liệu thì thời gian chỉ hơn gấp đôi *một chút*.`,
  `\`\`\`python
def quick_sort(values: list[int]) -> list[int]:
    """Sắp xếp nhanh, dễ đọc hơn là nhanh."""
    if len(values) < 2:
        return values
    pivot, *rest = values
    small = [value for value in rest if value < pivot]
    large = [value for value in rest if value >= pivot]
    return quick_sort(small) + [pivot] + quick_sort(large)
\`\`\``,
]

/** @returns so many tokens, of about four letters each */
export function longAnswer(tokens: number): string[] {
  const pieces: string[] = []
  for (let part = 1; pieces.length < tokens; part++) {
    const text = `## Part ${part}\n\n${SECTIONS.join('\n\n')}\n\n`
    pieces.push(...(text.match(/\s*\S{1,5}|\s+/gu) ?? []))
  }
  return pieces.slice(0, tokens)
}
