package file

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"iter"
	"os"
	"slices"
	"strings"

	"chatcore/ports"
)

// List implements [ports.Vault]. It reads a folder at a time, with all of its entries.
func (v *Vault) List(ctx context.Context, prefix, after string) iter.Seq2[ports.Object, error] {
	return func(yield func(ports.Object, error) bool) {
		if err := enter(ctx); err != nil {
			yield(ports.Object{}, err)
			return
		}
		if !ports.MayBeginObjectName(prefix) {
			return
		}
		if _, err := os.Stat(v.path(unfinished)); err != nil {
			yield(ports.Object{}, failure(err))
			return
		}
		l := &listing{Vault: v, prefix: prefix, after: after, yield: yield}
		folder, _ := ports.ObjectFolder(prefix)
		if err := l.folder(ctx, folder); err != nil && !errors.Is(err, errStopped) {
			yield(ports.Object{}, err)
		}
	}
}

// errStopped ends a list whose caller wants no more.
var errStopped = errors.New("stopped")

// listing is one list.
type listing struct {
	*Vault
	prefix, after string
	yield         func(ports.Object, error) bool
}

// folder yields the objects below a folder, whose name ends with a slash or is empty.
func (l *listing) folder(ctx context.Context, folder string) error {
	if err := ports.Unavailable(ctx, ctx.Err()); err != nil {
		return err
	}
	entries, err := os.ReadDir(l.path(folder))
	if absent(err) {
		return nil // it is gone, with its last object
	}
	if err != nil {
		return failure(err)
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return cmp.Compare(key(a), key(b)) })
	for _, e := range entries {
		name := folder + key(e)
		switch {
		case strings.HasPrefix(e.Name(), "."):
		case e.IsDir() && l.mayHave(name):
			err = l.folder(ctx, name)
		case e.Type().IsRegular() && strings.HasPrefix(name, l.prefix) && name > l.after && ports.CheckObjectName(name) == nil:
			err = l.object(name, e)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// key is what orders the entries of a folder as the names of the objects below them.
func key(e fs.DirEntry) string {
	if e.IsDir() {
		return e.Name() + "/"
	}
	return e.Name()
}

// mayHave reports whether names in a folder can be in the list. All of them are less than the folder's name with the character after the slash.
func (l *listing) mayHave(folder string) bool {
	return (strings.HasPrefix(folder, l.prefix) || strings.HasPrefix(l.prefix, folder)) && l.after < strings.TrimSuffix(folder, "/")+"0"
}

func (l *listing) object(name string, e fs.DirEntry) error {
	info, err := e.Info()
	if errors.Is(err, fs.ErrNotExist) {
		return nil // deleted meanwhile
	}
	if err != nil {
		return failure(err)
	}
	if !l.yield(ports.Object{Name: name, Size: info.Size()}, nil) {
		return errStopped
	}
	return nil
}
