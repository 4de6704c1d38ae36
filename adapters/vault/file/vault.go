// Package file keeps a vault in a directory. An object is written to a file of its own, flushed to the disk, and then linked under its name, which fails if
// the name is taken. The directory must be on one local file system with hard links, or on a network one that has them.
package file

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"syscall"
	"time"

	"chatcore/adapters/vault/probe"
	"chatcore/domain"
	"chatcore/ports"
)

// unfinished is the folder of objects that are not linked yet. Names of objects never begin with a dot. A vault has this folder, so that a directory on which
// nothing is mounted is not taken for an empty vault.
const unfinished = ".unfinished"

// abandoned is the age at which an unfinished object belongs to no running Put. A Put that takes longer fails.
const abandoned = time.Hour

// folderMode keeps objects from other users of the machine.
const folderMode = 0o700

// Vault keeps objects as files. Everything but [Vault.Put] and [Vault.Delete] changes nothing.
type Vault struct{ root string }

var (
	_ ports.Vault        = (*Vault)(nil)
	_ ports.VaultChecker = (*Vault)(nil)

	_ ports.UnfinishedWrites = (*Vault)(nil)
)

// Open returns the vault in a directory, and creates both if they do not exist. It removes files that interrupted calls of Put left more than an hour ago.
func Open(directory string) (*Vault, error) {
	root, err := filepath.Abs(directory)
	if err != nil {
		return nil, failure(err)
	}
	v := &Vault{root: root}
	if err := os.MkdirAll(v.path(unfinished), folderMode); err != nil {
		return nil, failure(err)
	}
	for directory, above := root, filepath.Dir(root); ; directory, above = above, filepath.Dir(above) {
		if err := v.sync(directory); err != nil && !errors.Is(err, fs.ErrPermission) { // of other users, and older
			return nil, err
		}
		if directory == above {
			break
		}
	}
	return v, v.removeUnfinished(time.Now().Add(-abandoned))
}

// RemoveUnfinished implements [ports.UnfinishedWrites].
func (v *Vault) RemoveUnfinished(ctx context.Context, before time.Time) error {
	if err := enter(ctx); err != nil {
		return err
	}
	return v.removeUnfinished(before)
}

func (v *Vault) removeUnfinished(before time.Time) error {
	entries, err := os.ReadDir(v.path(unfinished))
	if err != nil {
		return failure(err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err == nil && info.ModTime().Before(before) {
			err = os.Remove(v.path(unfinished + "/" + e.Name()))
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return failure(err)
		}
	}
	return nil
}

// Unfinished implements [ports.UnfinishedWrites].
func (v *Vault) Unfinished(ctx context.Context) (oldest time.Time, err error) {
	if err := enter(ctx); err != nil {
		return oldest, err
	}
	entries, err := os.ReadDir(v.path(unfinished))
	if err != nil {
		return oldest, failure(err)
	}
	for _, e := range entries {
		info, err := e.Info()
		switch {
		case errors.Is(err, fs.ErrNotExist): // its Put has ended
		case err != nil:
			return oldest, failure(err)
		case oldest.IsZero() || info.ModTime().Before(oldest):
			oldest = info.ModTime()
		}
	}
	return oldest, nil
}

// path returns the path of an object or a folder.
func (v *Vault) path(name string) string { return filepath.Join(v.root, filepath.FromSlash(name)) }

// Put implements [ports.Vault].
func (v *Vault) Put(ctx context.Context, name string, body []byte) error {
	if err := enter(ctx, name); err != nil {
		return err
	}
	written, err := v.write(body)
	if err != nil {
		return failure(err)
	}
	linked := v.link(ctx, written, name)
	_ = os.Remove(written) // Open removes it later
	if linked != nil && !errors.Is(linked, ports.ErrExists) {
		return linked
	}
	if err := v.syncFolders(name, unfinished+"/"); err != nil { // of an object that exists too: its writer may not have got so far
		return err
	}
	return linked
}

// write writes an unfinished object to the disk.
func (v *Vault) write(body []byte) (file string, err error) {
	f, err := os.CreateTemp(v.path(unfinished), "*")
	if err != nil {
		return "", err
	}
	_, err = f.Write(body)
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		err = errors.Join(err, os.Remove(f.Name()))
	}
	return f.Name(), err
}

// link gives a written object its name. It begins again if the folder vanishes with its last object.
func (v *Vault) link(ctx context.Context, written, name string) error {
	for {
		if err := enter(ctx, name); err != nil {
			return err
		}
		if err := os.MkdirAll(v.path(path.Dir(name)), folderMode); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return v.putFailure(name, err)
		}
		err := os.Link(written, v.path(name))
		if err == nil {
			return nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return v.putFailure(name, err)
		}
		if _, err := os.Lstat(written); err != nil {
			return fmt.Errorf("%w: the unfinished object was removed: %w", ports.ErrUnavailable, err)
		}
	}
}

// putFailure translates an error of a name that could not be linked.
func (v *Vault) putFailure(name string, err error) error {
	info, found := os.Lstat(v.path(name))
	switch {
	case errors.Is(err, fs.ErrExist) && found == nil && !info.IsDir():
		return ports.ErrExists
	case errors.Is(err, fs.ErrExist), errors.Is(err, syscall.ENOTDIR):
		return &domain.InvalidError{Field: "object name", Problem: fmt.Sprintf("is %q, which is a folder of other objects or below another object", name), Allowed: "names that are no folder of another one"}
	}
	return failure(err)
}

// syncFolders flushes the folders above names, so that what they have, and have no more, outlives a crash.
func (v *Vault) syncFolders(names ...string) error {
	synced := make(map[string]bool)
	for _, name := range names {
		for folder := path.Dir(name); !synced[folder]; folder = path.Dir(folder) {
			synced[folder] = true
			if err := v.sync(v.path(folder)); err != nil {
				return err
			}
		}
	}
	return nil
}

// sync flushes a directory. One that is gone needs none. After an error the directory may have been changed or not.
func (v *Vault) sync(directory string) error {
	f, err := os.Open(directory) //nolint:gosec // below the root, or above it
	if absent(err) {
		return nil
	}
	if err == nil {
		err = errors.Join(f.Sync(), f.Close())
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ports.ErrUnavailable, err)
	}
	return nil
}

// Get implements [ports.Vault].
func (v *Vault) Get(ctx context.Context, name string, from, length int64) ([]byte, error) {
	if err := ports.CheckObjectRange(length); err != nil {
		return nil, err
	}
	if err := enter(ctx, name); err != nil {
		return nil, err
	}
	f, err := os.Open(v.path(name))
	if err != nil {
		return nil, v.notFound(err)
	}
	defer f.Close() //nolint:errcheck // it was read only
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, failure(err)
	case info.IsDir():
		return nil, ports.ErrObjectNotFound
	}
	first, end := ports.ObjectRange(info.Size(), from, length)
	body := make([]byte, end-first)
	if _, err := io.ReadFull(io.NewSectionReader(f, first, end-first), body); err != nil {
		return nil, failure(err)
	}
	return body, nil
}

// notFound translates the error of a name that could not be opened. A vault that is gone as a whole has no objects to be missing.
func (v *Vault) notFound(err error) error {
	if !absent(err) {
		return failure(err)
	}
	if _, err := os.Stat(v.path(unfinished)); err != nil {
		return failure(err)
	}
	return ports.ErrObjectNotFound
}

// Delete implements [ports.Vault]. It also removes folders that it leaves empty.
func (v *Vault) Delete(ctx context.Context, names ...string) error {
	if err := enter(ctx, names...); err != nil {
		return err
	}
	for _, name := range names {
		if err := enter(ctx, name); err != nil {
			return err
		}
		switch err := os.Remove(v.path(name)); {
		case err == nil:
			v.prune(path.Dir(name))
		case errors.Is(err, syscall.ENOTEMPTY): // a folder
		case !errors.Is(v.notFound(err), ports.ErrObjectNotFound):
			return v.notFound(err)
		}
	}
	return v.syncFolders(names...) // of free names too: an earlier call may not have got so far
}

// prune removes empty folders upwards.
func (v *Vault) prune(folder string) {
	for folder != "." && syscall.Rmdir(v.path(folder)) == nil {
		folder = path.Dir(folder)
	}
}

// Check implements [ports.VaultChecker].
func (v *Vault) Check(ctx context.Context) ([]ports.VaultFinding, error) {
	return probe.Writes(ctx, v, func(err error) bool { return errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENOTSUP) }) // no hard links
}

// enter returns the error of a call that is refused.
func enter(ctx context.Context, names ...string) error {
	for _, name := range names {
		if err := ports.CheckObjectName(name); err != nil {
			return err
		}
	}
	return ports.Unavailable(ctx, ctx.Err())
}

// absent reports whether an error says that there is no such file.
func absent(err error) bool { return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) }

// failure translates an error of the file system about a call that changed nothing.
func failure(err error) error {
	reason := ports.ErrUnavailable
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT), errors.Is(err, syscall.EFBIG):
		reason = ports.ErrVaultFull
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS), absent(err):
		reason = ports.ErrVaultDenied
	}
	return fmt.Errorf("%w: %w", reason, err)
}
