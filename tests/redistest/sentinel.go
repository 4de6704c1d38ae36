package redistest

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/tests/child"
)

// Sentinels is a master with a replica, watched by three Sentinels that promote the replica about two seconds after the master is gone.
type Sentinels struct {
	Master, Replica *Server // as at the start
	addrs           []string
	password        string
}

const (
	sentinelMaster   = "test"
	sentinelUser     = "watcher"
	sentinelPassword = "sentinel-secret"
)

// StartSentinels starts a master with a replica, both with the given password unless it is "", and three Sentinels for them, which have their own
// user and password. It stops them when the test ends.
func StartSentinels(t testing.TB, password string) *Sentinels {
	t.Helper()
	args := []string{"--repl-diskless-sync-delay", "0"}
	if password != "" {
		args = append(args, "--requirepass", password, "--masterauth", password)
	}
	s := &Sentinels{Master: Start(t, args...), password: password}
	host, port, _ := strings.Cut(s.Master.Addr(), ":")
	s.Replica = Start(t, append(args, "--replicaof", host+" "+port)...)
	ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
	defer cancel()
	for range 3 {
		s.start(t, port)
	}
	for _, addr := range s.addrs {
		client := goredis.NewSentinelClient(&goredis.Options{Addr: addr, Username: sentinelUser, Password: sentinelPassword, MaxRetries: -1})
		poll(ctx, t, func() string { // it knows the replica and the other two
			published, err := client.Master(ctx, sentinelMaster).Result()
			if err != nil || published["num-slaves"] != "1" || published["num-other-sentinels"] != "2" || published["flags"] != "master" {
				return fmt.Sprintf("sentinel %s knows %v, %v", addr, published, err)
			}
			replicas, err := client.Replicas(ctx, sentinelMaster).Result()
			if err != nil || len(replicas) != 1 || replicas[0]["master-link-status"] != "ok" {
				return fmt.Sprintf("sentinel %s knows the replicas %v, %v", addr, replicas, err)
			}
			return ""
		})
		_ = client.Close()
	}
	return s
}

// URL returns the redis:// URL of the master as the Sentinels name it.
func (s *Sentinels) URL() string {
	query := url.Values{"master_name": {sentinelMaster}, "addr": s.addrs[1:]}
	if s.password != "" {
		query.Set("password", s.password)
	}
	return fmt.Sprintf("redis://%s:%s@%s?%s", sentinelUser, sentinelPassword, s.addrs[0], query.Encode())
}

func (s *Sentinels) start(t testing.TB, masterPort string) {
	t.Helper()
	path, err := exec.LookPath("redis-server")
	if err != nil {
		t.Fatal(missing)
	}
	dir, port := t.TempDir(), strconv.Itoa(freePort(t))
	lines := []string{
		"bind 127.0.0.1", "port " + port, "dir " + dir, "sentinel monitor " + sentinelMaster + " 127.0.0.1 " + masterPort + " 2",
		"sentinel down-after-milliseconds " + sentinelMaster + " 1000", "sentinel failover-timeout " + sentinelMaster + " 5000",
		"sentinel sentinel-user " + sentinelUser, "sentinel sentinel-pass " + sentinelPassword,
		"user default off", "user " + sentinelUser + " on >" + sentinelPassword + " ~* &* +@all",
	}
	if s.password != "" {
		lines = append(lines, "sentinel auth-pass "+sentinelMaster+" "+s.password)
	}
	config := filepath.Join(dir, "sentinel.conf")
	if err := os.WriteFile(config, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, config, "--sentinel", "--logfile", filepath.Join(dir, "redis.log"))
	process, err := child.Start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { process.End(syscall.SIGTERM, stopTimeout) })
	addr := net.JoinHostPort("127.0.0.1", port)
	ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
	defer cancel()
	poll(ctx, t, func() string {
		if !answers(addr) {
			said, _ := os.ReadFile(filepath.Join(dir, "redis.log"))
			return fmt.Sprintf("sentinel %s does not answer:\n%s", addr, said)
		}
		return ""
	})
	s.addrs = append(s.addrs, addr)
}
