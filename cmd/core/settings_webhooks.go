package main

import (
	"fmt"
	"strings"

	"chatcore"
)

// joinedList is the value of a setting that has several texts: with commas between them, or as a list in the file.
type joinedList interface{ isList() }

// webhookKeys are the keys of the secrets of webhooks. It implements [pflag.Value].
type webhookKeys struct{ target *[]chatcore.WebhookKey }

func (*webhookKeys) isList() {}

const webhookKeysType = "list of base64 keys of 32 bytes with commas between them, as openssl rand -base64 32 makes one"

// Type implements pflag.Value.
func (*webhookKeys) Type() string { return webhookKeysType }

// String implements pflag.Value. It never shows a key.
func (k *webhookKeys) String() string {
	if k.target == nil || len(*k.target) == 0 {
		return ""
	}
	return fmt.Sprintf("(%s, not shown)", count(len(*k.target), "key"))
}

// Set implements pflag.Value.
func (k *webhookKeys) Set(text string) error {
	var keys []chatcore.WebhookKey
	for part := range strings.SplitSeq(text, ",") {
		key, err := chatcore.ParseWebhookKey(strings.TrimSpace(part))
		if err != nil {
			return err
		}
		keys = append(keys, key)
	}
	*k.target = keys
	return nil
}

// textList are several texts. It implements [pflag.Value].
type textList struct{ target *[]string }

func (*textList) isList() {}

// Type implements pflag.Value.
func (*textList) Type() string { return "texts with commas between them" }

// String implements pflag.Value.
func (l *textList) String() string {
	if l.target == nil {
		return ""
	}
	return strings.Join(*l.target, ",")
}

// Set implements pflag.Value.
func (l *textList) Set(text string) error {
	var all []string
	for part := range strings.SplitSeq(text, ",") {
		all = append(all, strings.TrimSpace(part))
	}
	*l.target = all
	return nil
}

// joined returns the elements of a list of a file with commas between them.
func joined(list []any) string {
	texts := make([]string, len(list))
	for i, e := range list {
		texts[i] = fmt.Sprint(e)
	}
	return strings.Join(texts, ",")
}

// webhooks defines the settings of webhooks.
func (b binder) webhooks(c *chatcore.Config) {
	b.add("webhooks.keys", &webhookKeys{&c.Webhooks.Keys}, "keys that encrypt the secrets of webhooks: the first encrypts, all decrypt").hidesPassword().means("none: webhooks cannot be created")
	b.add("webhooks.allow", &textList{&c.Webhooks.Allow}, "networks, addresses and hosts that webhooks may have although they are not public").means("none")
	b.add("webhooks.allow-http", &c.Webhooks.AllowHTTP, "allow webhooks with http://")
}
