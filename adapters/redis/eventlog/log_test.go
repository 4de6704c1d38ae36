package eventlog_test

import (
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/redis/internal/rig"
	"chatcore/adapters/redis/keyspace"
	"chatcore/ports/porttest"
	"chatcore/tests/redistest"
)

func TestMain(m *testing.M) { redistest.Main(m) }

func TestEventLog(t *testing.T) {
	rig.Servers(t, func(t *testing.T, client goredis.UniversalClient) {
		porttest.EventLog(t, func(t *testing.T) porttest.Log {
			return rig.Open(t, client, rig.NewKeys(t, keyspace.DefaultPartitions))
		})
	})
}

func TestEventLogInOnePartition(t *testing.T) {
	porttest.EventLog(t, func(t *testing.T) porttest.Log {
		return rig.Open(t, rig.Connect(t, redistest.Shared(t).URL()), rig.NewKeys(t, 1))
	})
}

func TestVaultNotes(t *testing.T) {
	rig.Servers(t, func(t *testing.T, client goredis.UniversalClient) {
		porttest.VaultNotes(t, rig.Open(t, client, rig.NewKeys(t, 1)))
	})
}

func TestRetentionRules(t *testing.T) {
	rig.Servers(t, func(t *testing.T, client goredis.UniversalClient) {
		porttest.RetentionRules(t, 3, func(t *testing.T) porttest.RuledLog { return rig.Open(t, client, rig.NewKeys(t, 3)) })
	})
}

func TestUnderTheLeastRights(t *testing.T) {
	rig.RunUnderLeastRights(t, "TestEventLog", "TestChatView", "TestVaultNotes", "TestRetentionRules")
}

func TestChatView(t *testing.T) {
	rig.Servers(t, func(t *testing.T, client goredis.UniversalClient) {
		porttest.ChatView(t, func(t *testing.T) porttest.ViewedLog {
			return rig.Open(t, client, rig.NewKeys(t, keyspace.DefaultPartitions))
		})
	})
}
