package feeds

import (
	"context"
	"maps"
	"sync"

	"chatcore"
	"chatcore/domain"
)

// logins hold one session of each user, which another one replaces when it is closed.
type logins struct {
	core *chatcore.Core

	mu sync.Mutex
	// mu guards: all below.
	open   map[domain.UserID]login
	closed map[string]struct{} // tokens whose sessions were closed, or may have been
	gone   map[string]struct{} // those whose sessions were closed
}

type login struct {
	id    domain.SessionID
	token string
}

func newLogins(core *chatcore.Core) *logins {
	return &logins{core: core, open: make(map[domain.UserID]login), closed: make(map[string]struct{}), gone: make(map[string]struct{})}
}

// token returns the token of a user's session. A new session is opened if an instance has refused the present one.
func (l *logins) token(ctx context.Context, user domain.UserID, refused string) (string, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if present, is := l.open[user]; is && present.token != refused {
		return present.token, nil
	}
	opened, err := l.core.Sessions.Open(ctx, domain.OpenSession{User: user, Device: domain.Device{ID: "device"}})
	if err != nil {
		return "", err
	}
	l.open[user] = login{opened.ID, string(opened.Token)}
	return string(opened.Token), nil
}

// close closes the session of a user. It reports whether the session is known to be closed.
func (l *logins) close(ctx context.Context, user domain.UserID) bool {
	l.mu.Lock()
	present, is := l.open[user]
	if is {
		l.closed[present.token] = struct{}{}
	}
	l.mu.Unlock()
	if !is || l.core.Sessions.Close(ctx, user, present.id) != nil {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.gone[present.token] = struct{}{}
	return true
}

// isClosed reports whether the session of a token is known to be closed.
func (l *logins) isClosed(token string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, gone := l.gone[token]
	return gone
}

func (l *logins) closings() map[string]struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.closed)
}
