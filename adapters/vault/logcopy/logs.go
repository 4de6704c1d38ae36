package logcopy

import (
	"context"
	"slices"
	"strings"

	"chatcore/adapters/vault/object"
	"chatcore/ports"
)

// Logs returns the manifest that holds of each log in a vault, ordered by log id. Objects that are none of a log are ignored.
func Logs(ctx context.Context, vault ports.Vault) ([]*object.ManifestObject, error) {
	var logs []*object.ManifestObject
	for after := ""; ; {
		log, err := nextLog(ctx, vault, after)
		if err != nil || log == "" {
			return logs, err
		}
		after = log + "/\U0010FFFF" // behind its objects
		m, err := manifestOf(ctx, vault, log)
		if err != nil {
			return nil, err
		}
		if m != nil {
			logs = append(logs, m)
		}
	}
}

// nextLog returns the first element of the first name after one, if it is a folder, or "".
func nextLog(ctx context.Context, vault ports.Vault, after string) (string, error) {
	for o, err := range vault.List(ctx, "", after) {
		if err != nil {
			return "", err
		}
		if log, _, folder := strings.Cut(o.Name, "/"); folder {
			return log, nil
		}
	}
	return "", nil
}

// manifestOf returns the manifest of a log with the highest number, or nil if there is none.
func manifestOf(ctx context.Context, vault ports.Vault, log string) (*object.ManifestObject, error) {
	newest := ""
	for o, err := range vault.List(ctx, object.Manifest(log, 0).Siblings(), "") {
		if err != nil {
			return nil, err
		}
		newest = o.Name
	}
	if newest == "" {
		return nil, nil //nolint:nilnil // no log
	}
	name, err := object.ParseName(newest)
	if err != nil {
		return nil, err
	}
	data, err := vault.Get(ctx, newest, 0, ports.WholeObject)
	if err != nil {
		return nil, err
	}
	return object.DecodeManifest(name, data)
}

// choose returns the manifest of a log or, for "", that of the log that all others are ancestors of.
func choose(ctx context.Context, vault ports.Vault, log string) (*object.ManifestObject, error) {
	if log != "" {
		if m, err := manifestOf(ctx, vault, log); err != nil || m != nil {
			return m, err
		}
	}
	logs, err := Logs(ctx, vault)
	if err != nil {
		return nil, err
	}
	wrong := &LogError{Asked: log}
	var newest []*object.ManifestObject
	for _, m := range logs {
		wrong.Found = append(wrong.Found, m.Log)
		if !slices.ContainsFunc(logs, func(other *object.ManifestObject) bool { return descends(other, m.Log) }) {
			newest = append(newest, m)
		}
	}
	if log != "" || len(newest) != 1 {
		return nil, wrong
	}
	return newest[0], nil
}

// descends reports whether a log continues another one.
func descends(m *object.ManifestObject, log string) bool {
	return slices.ContainsFunc(m.Ancestors, func(a object.Ancestor) bool { return a.Log == log })
}

// removedAtOnce is how many objects Remove deletes in one call of the vault.
const removedAtOnce = 512

// Remove deletes the objects of a log, and returns how many. The manifests go last: a removal that was interrupted is continued by the next one. It returns a
// [*LogError] if the vault does not have the log.
func Remove(ctx context.Context, vault ports.Vault, log string) (removed int, err error) {
	if _, err := choose(ctx, vault, log); err != nil {
		return 0, err
	}
	var manifests, names []string
	remove := func() error {
		err := vault.Delete(ctx, names...)
		if err == nil {
			removed += len(names)
		}
		names = names[:0]
		return err
	}
	for o, err := range vault.List(ctx, log+"/", "") {
		if err != nil {
			return removed, err
		}
		if strings.HasPrefix(o.Name, object.Manifest(log, 0).Siblings()) {
			manifests = append(manifests, o.Name)
			continue
		}
		if names = append(names, o.Name); len(names) == removedAtOnce {
			if err := remove(); err != nil {
				return removed, err
			}
		}
	}
	if err := remove(); err != nil {
		return removed, err
	}
	names = manifests
	return removed, remove()
}
