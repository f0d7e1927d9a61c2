/**
 * In the user task: what a user's answers said of an item as it was shown. Answers to the same page are left out, since its
 * list could not know them. So what is summed up for a page serves its impressions that come one after the other within a
 * minute.
 *
 * It costs some 20 us a page, so above a rate a uniform sample of the pages is looked at, and the rest not learnt from.
 */
import { hash53 } from '../../streams/serde/hash.ts'
import type { ItemTable } from '../items/table.ts'
import { RateSample } from '../learner/sample.ts'
import { Covisit, covisitWindow } from '../topk/retrieve/covisit.ts'
import type { AnswerLook, ShownPage } from '../user/labels-port.ts'
import { Answers, covisitAnswer, packAnswers } from './answers.ts'

/** Times a second and task that a page is summed up. */
const mostPerSecond = 500
const servesMs = 60_000

export function answerLook(items: ItemTable, now: () => number): AnswerLook {
  const answers = new Answers(items)
  const covisit = new Covisit()
  const history = new Int32Array(covisitWindow)
  const sample = new RateSample(mostPerSecond)
  let page: ShownPage | undefined
  let summedAt = 0
  let isKept = false

  function sumUp(asked: ShownPage): void {
    isKept = sample.keeps(hash53(asked.requestId, asked.openedAt % 2 ** 31), now())
    if (!isKept) return
    const { user } = asked
    const onPage = asked.items()
    answers.begin(user, 0, onPage)
    const { positives } = user
    let length = 0
    for (let k = 0; k < positives.length && length < covisitWindow; k++)
      if (!onPage.has(positives.item(k))) history[length++] = positives.item(k)
    const countedUntil = Math.max(items.countedUntil, user.lastSeenAt)
    covisit.accumulate({ items, history, length, countedUntil })
    covisit.measure()
  }

  return (asked, item, at) => {
    if (page !== asked || Math.abs(at - summedAt) > servesMs) {
      page = asked
      summedAt = at
      sumUp(asked)
    }
    return isKept
      ? packAnswers(answers.content(item), answers.vector(item), covisitAnswer(covisit, item))
      : -1
  }
}
