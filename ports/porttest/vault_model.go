package porttest

import (
	"bytes"
	"crypto/rand"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"chatcore/ports"
)

// vaultModel is a vault and the objects that it must have.
type vaultModel struct {
	vaultHarness
	objects map[string][]byte
}

// random compares random calls with a model.
func (v vaultHarness) random(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := vaultModel{vaultHarness: vaultHarness{Vault: v.Vault, root: rand.Text()}, objects: make(map[string][]byte)}
		name := rapid.SampledFrom([]string{"a", "b", "b-", "c/a", "c/b/a", "c/b/b", "c-/a", "d%2F", "e ü"})
		body := rapid.SliceOfN(rapid.Byte(), 0, 20)
		t.Repeat(map[string]func(*rapid.T){
			"put":    func(t *rapid.T) { m.put(t, name.Draw(t, "name"), body.Draw(t, "body")) },
			"get":    func(t *rapid.T) { m.get(t, name.Draw(t, "name")) },
			"delete": func(t *rapid.T) { m.delete(t, rapid.SliceOfN(name, 0, 3).Draw(t, "names")) },
			"list": func(t *rapid.T) {
				edge := rapid.OneOf(name, rapid.SampledFrom([]string{"", "c", "c/", "c/b", "d%", "~"}))
				m.compare(t, edge.Draw(t, "prefix"), edge.Draw(t, "after"))
			},
		})
		m.compare(t, "", "")
	})
}

func (m vaultModel) put(t *rapid.T, name string, body []byte) {
	err := m.Put(t.Context(), m.name(name), body)
	if _, taken := m.objects[name]; taken != errors.Is(err, ports.ErrExists) || !taken && err != nil {
		t.Fatalf("put %q: %v; taken: %t", name, err, taken)
	}
	if err == nil {
		m.objects[name] = slices.Clone(body)
	}
}

func (m vaultModel) get(t *rapid.T, name string) {
	from, length := rapid.Int64Range(-25, 25).Draw(t, "from"), rapid.Int64Range(1, 25).Draw(t, "length")
	body, taken := m.objects[name]
	got, err := m.Get(t.Context(), m.name(name), from, length)
	if !taken {
		m.hasNot(t, name)
		return
	}
	if first, end := ports.ObjectRange(int64(len(body)), from, length); err != nil || !bytes.Equal(got, body[first:end]) {
		t.Fatalf("get %q from %d, length %d: %q, error %v, want %q", name, from, length, got, err, body[first:end])
	}
}

func (m vaultModel) delete(t *rapid.T, names []string) {
	whole := make([]string, len(names))
	for i, name := range names {
		whole[i] = m.name(name)
		delete(m.objects, name)
	}
	if err := m.Delete(t.Context(), whole...); err != nil {
		t.Fatalf("delete %q: %v", names, err)
	}
}

func (m vaultModel) compare(t *rapid.T, prefix, after string) {
	want := slices.DeleteFunc(slices.Sorted(maps.Keys(m.objects)), func(name string) bool { return !strings.HasPrefix(name, prefix) || name <= after })
	if got := m.list(t, prefix, after); !slices.Equal(got, want) {
		t.Fatalf("with the prefix %q after %q the list is %q, want %q", prefix, after, got, want)
	}
}
