/**
 * Alerts on their way out: the runtime gives them as JSON; the topic has them as `freshet.Alert`, and the webhook is handed
 * them once the topic has acknowledged them.
 */
import type { Encoder } from '../schemas/index.ts'
import type { OutsideRecord, Publisher } from '../streams/transport/port.ts'
import { ratioOf } from '../topologies/alerts/words.ts'
import type { PostedAlert, Webhook } from './alerts-webhook.ts'

/** `topic`: of the alerts, with its prefix. All other topics pass as they are. */
export function alertPublisher(
  publisher: Publisher,
  { topic, encoder, webhook }: { topic: string; encoder: Encoder; webhook: Webhook | null },
): Publisher {
  return {
    async send(to, records) {
      if (to !== topic) return publisher.send(to, records)
      const alerts = records.map(read)
      await publisher.send(
        to,
        records.map((record, i) => {
          const { state: _state, ratio: _ratio, ...alert } = alerts[i]
          return { ...record, value: encoder.encode('Alert', alert) }
        }),
      )
      webhook?.offer(alerts)
    },
    close: () => publisher.close(),
  }
}

function read({ value, headers }: OutsideRecord): PostedAlert {
  const alert = JSON.parse(String(value)) as Omit<PostedAlert, 'eventId' | 'state' | 'ratio'>
  const { rule, subject, since, until } = alert
  return {
    eventId: headers?.id ?? `${rule}/${subject}/${since}/${until ?? 'open'}`,
    state: until === null ? 'raised' : 'cleared',
    ...alert,
    query: alert.query ?? '',
    ratio: ratioOf(alert.value, alert.threshold) ?? null,
  }
}
