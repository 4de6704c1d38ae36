package keyspace

// Webhooks has the keys of the attempts of webhooks.
type Webhooks struct{ base }

// Failed returns the key of the failed attempts of a webhook.
func (k Webhooks) Failed(webhook string) string {
	return k.prefix + "cc:webhook-failed:" + Escape(webhook)
}

// Succeeded returns the key of the attempts of a webhook that succeeded.
func (k Webhooks) Succeeded(webhook string) string {
	return k.prefix + "cc:webhook-ok:" + Escape(webhook)
}
