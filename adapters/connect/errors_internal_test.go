package connect

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	rpc "connectrpc.com/connect"

	"chatcore"
	"chatcore/adapters/connect/auth"
	"chatcore/app"
	v1 "chatcore/gen/chatcore/v1"

	"chatcore/domain"
	"chatcore/ports"
)

// noCall are the exported errors that no call of the API returns.
func noCall() map[string]string {
	return map[string]string{
		"chatcore.ErrURL":             "opening a core",
		"chatcore.ErrUnreachable":     "opening a core",
		"chatcore.ErrRejected":        "opening a core",
		"chatcore.ErrTooOld":          "opening a core",
		"ports.ErrLogDiffers":         "opening a core",
		"chatcore.ErrRestoring":       "opening a core, and restores",
		"chatcore.ErrOccupied":        "restores",
		"chatcore.ErrIncompleteVault": "restores",
		"chatcore.ErrLogNotFound":     "restores",
		"chatcore.ErrSeveralLogs":     "restores",
		"chatcore.ErrDamagedExport":   "imports of logs",
		"chatcore.ErrDuplicateName":   "adding groups and listeners",
		"chatcore.ErrRunning":         "adding groups and listeners",
		"chatcore.ErrTooManyGroups":   "adding groups and listeners",
		"chatcore.ErrAbandoned":       "the end of Run",
		"chatcore.ErrNotInMemory":     "WaitIdle",
		"chatcore.ErrNoCacheStore":    "caches of the caller's own",
		"chatcore.ErrNoValue":         "caches of the caller's own",
		"chatcore.ErrLoadTimeout":     "caches of the caller's own",
		"chatcore.ErrHandlerSkipped":  "handlers of groups",
		"ports.ErrOverflow":           "counters of the caller's own",
	}
}

// exportedErrors returns the exported errors of a package: the package and the name, and of one that is another package's the name there.
func exportedErrors(t *testing.T, dir, pkg string) map[string]string {
	t.Helper()
	found := make(map[string]string)
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%s has %d files, error %v", dir, len(files), err)
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range parsed.Decls {
			of, ok := d.(*ast.GenDecl)
			if !ok || of.Tok != token.VAR {
				continue
			}
			for _, s := range of.Specs {
				spec, _ := s.(*ast.ValueSpec)
				for i, name := range spec.Names {
					if !strings.HasPrefix(name.Name, "Err") || i >= len(spec.Values) {
						continue
					}
					found[pkg+"."+name.Name] = selected(spec.Values[i])
				}
			}
		}
	}
	return found
}

// selected returns an expression such as ports.ErrX as text, or "" for another.
func selected(e ast.Expr) string {
	if s, ok := e.(*ast.SelectorExpr); ok {
		if of, ok := s.X.(*ast.Ident); ok {
			return of.Name + "." + s.Sel.Name
		}
	}
	return ""
}

// classified returns the errors that errorClasses names in the sources.
func classified(t *testing.T) map[string]bool {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), "errors.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	found := make(map[string]bool)
	ast.Inspect(parsed, func(n ast.Node) bool {
		if kv, ok := n.(*ast.KeyValueExpr); ok {
			if key, ok := kv.Key.(*ast.Ident); ok && key.Name == "err" {
				found[selected(kv.Value)] = true
			}
		}
		return true
	})
	return found
}

// TestErrorClasses_CoverExportedErrors has every exported error of the rules, the ports, the use cases and the root be in the table, or among those that no
// call returns.
func TestErrorClasses_CoverExportedErrors(t *testing.T) {
	classes, excused := classified(t), noCall()
	if !classes["domain.ErrInvalid"] || len(classes) < 40 {
		t.Fatalf("the table has %v", classes)
	}
	seen, aliases := 0, exportedErrors(t, "../../adapters/redis/health", "health")
	for dir, pkg := range map[string]string{"../../domain": "domain", "../../ports": "ports", "../../app": "app", "../../": "chatcore", "auth": "auth"} {
		for name, original := range exportedErrors(t, dir, pkg) {
			seen++
			if further := aliases[original]; further != "" {
				original = further
			}
			if !classes[name] && !classes[original] && excused[name] == "" && excused[original] == "" {
				t.Errorf("%s has no row in errorClasses", name)
			}
			if excused[name] != "" && classes[name] {
				t.Errorf("%s has a row and is among those that no call returns", name)
			}
		}
	}
	if seen < 50 {
		t.Errorf("only %d errors were found", seen)
	}
}

// TestFailureOf has each error get the code, the reason and the detail that the API promises.
func TestFailureOf(t *testing.T) {
	conflict := &ports.ConflictError{Chat: "c", Condition: domain.Condition{Entity: domain.CustomEntity("poll"), Version: 3}, Version: 5}
	for _, row := range []struct {
		err       error
		code      rpc.Code
		reason    string
		retryable bool
	}{
		{&domain.InvalidError{Field: "clientMeta", Problem: "is empty", Allowed: "x"}, rpc.CodeInvalidArgument, "invalid", false},
		{ports.ErrTooLarge, rpc.CodeInvalidArgument, "too_large", false},
		{&chatcore.CustomEventError{Type: "a:b"}, rpc.CodeInvalidArgument, "custom_event", false},
		{domain.ErrChatNotFound, rpc.CodeNotFound, "chat_not_found", false},
		{domain.ErrMessageNotFound, rpc.CodeNotFound, "message_not_found", false},
		{chatcore.ErrGroupNotFound, rpc.CodeNotFound, "group_not_found", false},
		{chatcore.ErrGroupDeleted, rpc.CodeNotFound, "group_not_found", false},
		{chatcore.ErrDeadLetterNotFound, rpc.CodeNotFound, "dead_letter_not_found", false},
		{chatcore.ErrGroupNotDefined, rpc.CodeNotFound, "group_not_defined", false},
		{chatcore.ErrGroupDefined, rpc.CodeAlreadyExists, "group_defined", false},
		{chatcore.ErrGroupOfCode, rpc.CodeFailedPrecondition, "group_of_code", false},
		{chatcore.ErrDefinitionChanged, rpc.CodeAborted, "definition_changed", true},
		{chatcore.ErrNewerDefinition, rpc.CodeUnavailable, "newer_definition", true},
		{domain.ErrChatExists, rpc.CodeAlreadyExists, "chat_exists", false},
		{domain.ErrMessageExists, rpc.CodeAlreadyExists, "message_exists", false},
		{domain.ErrCommandReused, rpc.CodeAlreadyExists, "command_reused", false},
		{domain.NotMember("c", "u"), rpc.CodePermissionDenied, "not_member", false},
		{domain.ErrForbidden, rpc.CodePermissionDenied, "forbidden", false},
		{domain.ErrNotAuthor, rpc.CodePermissionDenied, "not_author", false},
		{app.Refuse("no"), rpc.CodePermissionDenied, "refused", false},
		{&auth.CrossSiteError{Field: "Origin", Problem: "is x", Allowed: "y"}, rpc.CodePermissionDenied, "cross_site", false},
		{&auth.NotLocalError{Field: "Host", Problem: "is x", Allowed: "y"}, rpc.CodePermissionDenied, "not_local", false},
		{&accessError{reason: "scope_missing"}, rpc.CodePermissionDenied, "scope_missing", false},
		{domain.ErrChatDeleted, rpc.CodeFailedPrecondition, "chat_deleted", false},
		{domain.ErrHoldNotFound, rpc.CodeNotFound, "hold_not_found", false},
		{domain.ErrHoldExists, rpc.CodeAlreadyExists, "hold_exists", false},
		{&domain.LegalHoldError{HoldSubject: domain.HoldSubject{Chat: "c"}}, rpc.CodeFailedPrecondition, "legal_hold", false},
		{domain.ErrArchived, rpc.CodeFailedPrecondition, "archived", false},
		{domain.ErrLastOwner, rpc.CodeFailedPrecondition, "last_owner", false},
		{domain.ErrMessageDeleted, rpc.CodeFailedPrecondition, "message_deleted", false},
		{domain.ErrEditWindow, rpc.CodeFailedPrecondition, "edit_window", false},
		{&domain.CapError{Cap: domain.CapEmojis, Max: 3}, rpc.CodeFailedPrecondition, "cap_reached", false},
		{&domain.CapError{Cap: domain.CapMembers, Max: 3}, rpc.CodeInvalidArgument, "invalid", false},
		{&domain.CapError{Cap: domain.CapMetadata, Max: 3}, rpc.CodeInvalidArgument, "invalid", false},
		{&domain.SeqRangeError{Chat: "c", Seq: 9, Head: 7}, rpc.CodeOutOfRange, "seq_range", false},
		{conflict, rpc.CodeAborted, "conflict", true},
		{finalError{conflict}, rpc.CodeAborted, "conflict", false},
		{domain.ErrNoSession, rpc.CodeUnauthenticated, "session_not_found", false},
		{auth.ErrUnauthenticated, rpc.CodeUnauthenticated, "unauthenticated", false},
		{errNoCredential, rpc.CodeUnauthenticated, "unauthenticated", false},
		{ports.ErrUnavailable, rpc.CodeUnavailable, "unavailable", true},
		{fmt.Errorf("%w: %w", ports.ErrOutcomeUnknown, ports.ErrUnavailable), rpc.CodeUnavailable, "outcome_unknown", true},
		{&ports.UnconfirmedError{}, rpc.CodeUnavailable, "unconfirmed", true},
		{ports.ErrClosed, rpc.CodeUnavailable, "closed", true},
		{chatcore.ErrNoViews, rpc.CodeUnavailable, "no_views", true},
		{chatcore.ErrFull, rpc.CodeUnavailable, "full", true},
		{chatcore.ErrEvicting, rpc.CodeUnavailable, "evicting", true},
		{&ports.LogLevelError{}, rpc.CodeUnavailable, "newer_log", true},
		{&ports.NewerVersionError{}, rpc.CodeUnavailable, "newer_version", true},
		{app.ErrGateFailed, rpc.CodeUnavailable, "gate_failed", true},
		{ports.ErrLogLost, rpc.CodeDataLoss, "log_lost", false},
		{&ports.CorruptError{}, rpc.CodeDataLoss, "corrupt", false},
		{&ports.LimitedError{Kind: "send", RetryAfter: 1500 * time.Millisecond}, rpc.CodeResourceExhausted, "rate_limited", true},
		{ports.ErrOverloaded, rpc.CodeResourceExhausted, "overloaded", true},
		{&domain.TooSoonError{Until: time.Now().Add(time.Hour)}, rpc.CodeResourceExhausted, "too_soon", true},
		{chatcore.ErrNoFsck, rpc.CodeUnimplemented, "findings_unsupported", false},
		{context.DeadlineExceeded, rpc.CodeDeadlineExceeded, "deadline_exceeded", true},
		{context.Canceled, rpc.CodeCanceled, "canceled", true},
		{&ports.RightsError{}, rpc.CodeInternal, "no_permission", false},
		{&ports.ForeignValueError{}, rpc.CodeInternal, "foreign_value", false},
		{errors.New("dial tcp 10.1.2.3"), rpc.CodeInternal, "internal", false},
		{errNotTried, rpc.CodeAborted, "not_tried", true},
	} {
		t.Run(fmt.Sprint(row.err), func(t *testing.T) {
			f := failureOf(t.Context(), slog.New(slog.DiscardHandler), method{}, fmt.Errorf("in a call: %w", row.err))
			if f.code != row.code || f.detail.GetReason() != row.reason || f.detail.GetRetryable() != row.retryable || f.text == "" {
				t.Errorf("%v, reason %q, retryable %t, text %q", f.code, f.detail.GetReason(), f.detail.GetRetryable(), f.text)
			}
		})
	}
}

func TestFailureOf_Details(t *testing.T) {
	detail := func(err error) *v1.ErrorDetail {
		return failureOf(t.Context(), slog.New(slog.DiscardHandler), method{}, err).detail
	}
	if d := detail(&domain.InvalidError{Field: "clientMeta", Problem: "p", Allowed: "a"}); d.GetField() != "client_meta" || d.GetProblem() != "p" || d.GetAllowed() != "a" {
		t.Errorf("invalid: %v", d)
	}
	if d := detail(&domain.SeqRangeError{Chat: "c", Seq: 9, Head: 7}); d.GetHeadSeq() != 7 {
		t.Errorf("seq range: %v", d)
	}
	conflict := &ports.ConflictError{Chat: "c", Condition: domain.Condition{Entity: domain.CustomEntity("poll"), Version: 3}, Version: 1 << 40}
	if d := detail(conflict); !strings.Contains(d.GetEntity(), "poll") || d.GetVersion() != 1<<32-1 {
		t.Errorf("conflict: %v", d)
	}
	limited := failureOf(t.Context(), slog.New(slog.DiscardHandler), method{}, &ports.LimitedError{Kind: "send", RetryAfter: 1500 * time.Millisecond})
	if d := limited.detail; d.GetLimit() != "send" || d.GetRetryAfter().AsDuration() != 1500*time.Millisecond || limited.connectError().Meta().Get("Retry-After") != "2" {
		t.Errorf("limited: %v, header %v", d, limited.connectError().Meta())
	}
	if d := detail(&domain.CapError{Cap: domain.CapEmojis, Max: 3}); d.GetLimit() != string(domain.CapEmojis) || d.GetAllowed() != "at most 3" {
		t.Errorf("cap: %v", d)
	}
	if d := detail(&domain.CapError{Cap: domain.CapMetadataKeys, Max: 3}); d.GetField() != "metadata" || d.GetProblem() == "" || d.GetAllowed() == "" {
		t.Errorf("a cap of the metadata is %v", d)
	}
	if d := detail(inSet(&domain.CapError{Cap: domain.CapMetadataKeys, Max: 3})); d.GetField() != "set" {
		t.Errorf("a cap of the metadata in a change is %v", d)
	}
	if d := detail(&domain.CapError{Cap: domain.CapMembers, Max: 3}); d.GetField() != "member_ids" || d.GetProblem() == "" || d.GetAllowed() == "" {
		t.Errorf("cap of members: %v", d)
	}
}

// TestFailureOf_HidesWhatIsInternal has the client see neither addresses nor keys: only the log has them, under the id that the client gets.
func TestFailureOf_HidesWhatIsInternal(t *testing.T) {
	const secret = "10.1.2.3:6379"
	for _, err := range []error{
		errors.New("dial " + secret), fmt.Errorf("%w: dial %s", ports.ErrUnavailable, secret), fmt.Errorf("%w: %s", ports.ErrOutcomeUnknown, secret),
		&ports.CorruptError{Key: secret}, fmt.Errorf("%w: %s", ports.ErrLogLost, secret), fmt.Errorf("%w: %s", chatcore.ErrNoPermission, secret),
		fmt.Errorf("%w: %s", chatcore.ErrFull, secret), fmt.Errorf("%w: %s", ports.ErrClosed, secret), fmt.Errorf("%w: %s", ports.ErrUnconfirmed, secret),
		fmt.Errorf("%w: %s", ports.ErrOverloaded, secret), fmt.Errorf("%w: %s", ports.ErrNewerLog, secret), fmt.Errorf("%w: %s", app.ErrGateFailed, secret),
		fmt.Errorf("%w: %s", chatcore.ErrNoViews, secret), fmt.Errorf("%w: %s", ports.ErrEvicting, secret), fmt.Errorf("%w: %s", ports.ErrForeignValue, secret),
		fmt.Errorf("%w: %s", context.DeadlineExceeded, secret), fmt.Errorf("%w: %s", context.Canceled, secret),
	} {
		var log bytes.Buffer
		f := failureOf(t.Context(), slog.New(slog.NewTextHandler(&log, nil)), method{name: "Method"}, err)
		if strings.Contains(f.text+f.detail.String(), secret) {
			t.Errorf("the client sees %q, %v", f.text, f.detail)
		}
		internal := f.code == rpc.CodeInternal || f.code == rpc.CodeDataLoss
		id := f.detail.GetIncidentId()
		logged := strings.Contains(log.String(), id) && strings.Contains(log.String(), secret) && strings.Contains(f.text, id)
		if internal != (id != "") || internal && !logged {
			t.Errorf("incident %q, text %q, log %q", id, f.text, log.String())
		}
	}
}

// TestFailureOf_EndOfTheCallComesFirst has the code of a call that ended say so, whatever its error, and never claim that nothing was done.
func TestFailureOf_EndOfTheCallComesFirst(t *testing.T) {
	late, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	for _, row := range []struct {
		ctx    context.Context
		err    error
		code   rpc.Code
		reason string
	}{
		{late, ports.ErrUnavailable, rpc.CodeDeadlineExceeded, "deadline_exceeded"},
		{late, errors.New("read tcp: i/o timeout"), rpc.CodeDeadlineExceeded, "deadline_exceeded"},
		{late, ports.ErrOutcomeUnknown, rpc.CodeDeadlineExceeded, "outcome_unknown"},
		{canceled, domain.ErrForbidden, rpc.CodeCanceled, "canceled"},
		{canceled, ports.ErrOutcomeUnknown, rpc.CodeCanceled, "outcome_unknown"},
	} {
		f := failureOf(row.ctx, slog.New(slog.DiscardHandler), method{}, row.err)
		if f.code != row.code || f.detail.GetReason() != row.reason || !f.detail.GetRetryable() || f.detail.GetIncidentId() != "" {
			t.Errorf("%v: %v, %v", row.err, f.code, f.detail)
		}
	}
}

// TestFailureOf_SingleMethods has a call that must not be given twice be retryable only if nothing of it was done.
func TestFailureOf_SingleMethods(t *testing.T) {
	single := method{rule: rule{single: true}}
	undone := []string{"overloaded", "rate_limited", "too_soon"}
	for _, class := range errorClasses() {
		f := failureOf(t.Context(), slog.New(slog.DiscardHandler), single, class.err)
		if want := slices.Contains(undone, class.reason); f.detail.GetRetryable() != want {
			t.Errorf("%v: retryable %t", class.err, f.detail.GetRetryable())
		}
	}
}

// TestFailureOf_QueriesAboutNonMembers has a query about a user that is no member be not found: only commands are denied.
func TestFailureOf_QueriesAboutNonMembers(t *testing.T) {
	if f := failureOf(t.Context(), slog.New(slog.DiscardHandler), method{query: true}, domain.NotMember("c", "u")); f.code != rpc.CodeNotFound {
		t.Errorf("%v", f.code)
	}
}
