/** One short exchange of the second stage: a question and the answer that is learned. */
export type Exchange = {
  topic: string
  question: string
  answer: string
}
