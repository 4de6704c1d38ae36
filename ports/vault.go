package ports

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"chatcore/domain"
)

// Vault keeps objects that are written once, beside the store of the log: copies of the log that outlive it. An object is never seen in part and never changes
// until it is deleted. All methods are safe for concurrent use, also by several processes on one vault.
//
// Every method returns a [*domain.InvalidError] for an argument that it refuses, [ErrVaultDenied] if the caller lacks the right or the vault does not exist, and
// [ErrUnavailable] if the vault does not answer. If ctx has ended, the error is ctx's as well. See [CheckObjectName] for names.
type Vault interface {
	// Put stores an object under a name that is free. On success the object outlives a crash of process and machine. Of several concurrent calls with one
	// name exactly one succeeds, and its bytes stay. An empty body is an object too. Put keeps no reference to body.
	//
	// It returns [ErrExists] if the name is taken, which is never changed, and [ErrVaultFull] if there is no room. After [ErrUnavailable] the whole object
	// may have been stored: a repeated Put returns ErrExists then, and Get returns the bytes to compare. After every other error nothing was stored.
	Put(ctx context.Context, name string, body []byte) error

	// Get returns the bytes of an object from an offset on, at most length of them: fewer if the object ends before. A negative from counts from the end of
	// the object; if it is before its beginning, the result begins there. An offset beyond the end gives no bytes. [WholeObject] is a length that
	// reaches the end. length is at least 1. It returns [ErrObjectNotFound] if the name is free. The caller may change the result.
	Get(ctx context.Context, name string, from, length int64) ([]byte, error)

	// List yields the objects whose names begin with prefix and are greater than after, ordered by the bytes of their names. Both may be any text, and empty.
	// Iteration stops at the first error. Objects that are stored before it begins and not deleted are yielded exactly once; objects that are stored or
	// deleted meanwhile may be.
	List(ctx context.Context, prefix, after string) iter.Seq2[Object, error]

	// Delete removes objects; names that are free are no error. After success they do not come back in a crash. It is not atomic: after an error some of
	// the objects may be gone, and a repeated Delete does the rest. A name may be used again.
	Delete(ctx context.Context, names ...string) error
}

// UnfinishedWrites is a vault that knows which bytes interrupted writes have left, of this program or of others.
type UnfinishedWrites interface {
	// Unfinished returns when the oldest bytes were written that belong to no object, by the clock of the vault. It returns the zero time if there are none. A
	// Put that runs may count.
	Unfinished(ctx context.Context) (time.Time, error)
	// RemoveUnfinished removes such bytes that were written before a time, by the clock of the vault. It does not touch objects. A Put that has begun before
	// may fail with [ErrUnavailable].
	RemoveUnfinished(ctx context.Context, before time.Time) error
}

// Object is an entry of a vault's list.
type Object struct {
	Name string
	Size int64 // in bytes
}

// WholeObject as the length of [Vault.Get] reaches the end of every object.
const WholeObject = math.MaxInt64

// Bounds of the names of objects, in bytes. Elements are the parts between slashes.
const (
	MaxObjectName    = 512
	MaxObjectElement = 255
)

// Sentinels of a [Vault].
var (
	// ErrExists is returned by [Vault.Put] for a name that is taken. The object under the name was not changed.
	ErrExists = errors.New("object exists")
	// ErrObjectNotFound is returned by [Vault.Get] for a name that is free.
	ErrObjectNotFound = errors.New("object not found")
	// ErrVaultFull is returned by [Vault.Put] if the vault has no room for the object. Nothing was stored. The same call may succeed later.
	ErrVaultFull = errors.New("the vault is full")
	// ErrVaultDenied is returned if the vault refuses the call, for example because of credentials, rights, or a bucket that does not exist. Nothing was
	// changed. The same call succeeds once its operator has changed that.
	ErrVaultDenied = errors.New("the vault denies access")
)

// CheckObjectName returns a [*domain.InvalidError] for a name that no vault accepts. A name is 1 to [MaxObjectName] bytes of printable UTF-8 without backslashes:
// elements of 1 to [MaxObjectElement] bytes that do not begin with a dot, with a slash between them. A name must not be another one and a slash and more,
// because a vault may keep folders; [Vault.Put] may refuse such a name.
func CheckObjectName(name string) error {
	problem := ""
	switch {
	case name == "":
		problem = "is empty"
	case len(name) > MaxObjectName:
		problem = fmt.Sprintf("has %d bytes", len(name))
	case !utf8.ValidString(name), strings.ContainsFunc(name, func(r rune) bool { return r == '\\' || !unicode.IsPrint(r) }):
		problem = "is " + strconv.Quote(name) + ", with a character that is not allowed"
	default:
		for element := range strings.SplitSeq(name, "/") {
			if element == "" || element[0] == '.' || len(element) > MaxObjectElement {
				problem = fmt.Sprintf("is %q, with the element %q", name, element)
			}
		}
	}
	if problem == "" {
		return nil
	}
	return &domain.InvalidError{
		Field: "object name", Problem: problem,
		Allowed: fmt.Sprintf("1 to %d bytes of printable UTF-8 without backslashes, in elements of 1 to %d bytes that do not begin with a dot", MaxObjectName, MaxObjectElement),
	}
}

// MayBeginObjectName reports whether a name that vaults accept can begin with a text.
func MayBeginObjectName(text string) bool {
	folder, element := ObjectFolder(text)
	return len(text) <= MaxObjectName && len(element) <= MaxObjectElement && !strings.HasPrefix(element, ".") && (folder == "" || CheckObjectName(folder[:len(folder)-1]) == nil)
}

// ObjectFolder splits a name after its last slash.
func ObjectFolder(name string) (folder, element string) {
	end := strings.LastIndexByte(name, '/') + 1
	return name[:end], name[end:]
}

// CheckObjectRange returns a [*domain.InvalidError] for a length that [Vault.Get] refuses.
func CheckObjectRange(length int64) error {
	if length < 1 {
		return &domain.InvalidError{Field: "length", Problem: fmt.Sprintf("is %d", length), Allowed: "1 or more"}
	}
	return nil
}

// ObjectRange returns the first byte and the end of the range that [Vault.Get] returns of an object of a size.
func ObjectRange(size, from, length int64) (first, end int64) {
	if from < 0 {
		from = max(size+from, 0)
	}
	first = min(from, size)
	return first, first + min(length, size-first)
}

// VaultChecker is a vault whose store may be configured such that it cannot keep the promises of [Vault].
type VaultChecker interface {
	// Check stores and deletes objects whose names begin with "check-", and reads the configuration of the store. It returns no findings for a store
	// that keeps the promises.
	Check(ctx context.Context) ([]VaultFinding, error)
}

// VaultFinding is a property of a vault's store that breaks a promise.
type VaultFinding struct {
	Code   VaultFindingCode
	Detail string // for a person: what was seen
}

// VaultFindingCode names the kind of a finding; it lasts across versions.
type VaultFindingCode string

// Kinds of findings.
const (
	// VaultOverwrites is a store that replaces objects: two writers of one name both succeed. It must not be used.
	VaultOverwrites VaultFindingCode = "vault_overwrites"
	// VaultUnconditional is a store that refuses to write an object only if its name is free. It cannot be used.
	VaultUnconditional VaultFindingCode = "vault_unconditional"
	// VaultVersioned is a store that keeps versions of deleted objects, or may do so: erasure does not reach them.
	VaultVersioned VaultFindingCode = "vault_versioned"
	// VaultLocked is a store that protects objects from being deleted for a time: erasure fails.
	VaultLocked VaultFindingCode = "vault_locked"
	// VaultFoldsNames is a store for which two different names are the same, such as a file system that ignores case. It must not be used.
	VaultFoldsNames VaultFindingCode = "vault_folds_names"
	// VaultUnknown is a property of the store that it does not report.
	VaultUnknown VaultFindingCode = "vault_unknown"
)
