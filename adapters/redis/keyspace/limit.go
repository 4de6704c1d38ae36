package keyspace

import "chatcore/ports"

// Limits has the keys of rate limits.
type Limits struct{ base }

// Of returns the key of a limit.
func (k Limits) Of(t ports.Take) string {
	if t.Limit.Algorithm == ports.GCRA {
		return k.gcra(t.Name)
	}
	return k.Window(t.Name)
}

// Window returns the key of a fixed window.
func (k Limits) Window(name []string) string {
	return k.prefix + k.names.RateLimit + joined(name)
}

func (k Limits) gcra(name []string) string { return k.prefix + "cc:gcra:" + joined(name) }

// joined joins the parts of a name by colons, escaped so that different parts give different names.
func joined(name []string) string {
	var b []byte
	for i, part := range name {
		if i > 0 {
			b = append(b, ':')
		}
		b = AppendEscaped(b, part)
	}
	return string(b)
}
