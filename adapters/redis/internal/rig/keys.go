package rig

import (
	"testing"

	"github.com/google/uuid"

	"chatcore/adapters/redis/keyspace"
)

// ClusterKeys returns keys of a Cluster in a new namespace.
func ClusterKeys(t *testing.T) keyspace.Keys {
	t.Helper()
	keys, err := keyspace.New("test-"+uuid.NewString(), keyspace.DefaultPartitions, true)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// NewKeys returns keys of a single server in a new namespace.
func NewKeys(t *testing.T, partitions int) keyspace.Keys {
	t.Helper()
	keys, err := keyspace.New("test-"+uuid.NewString(), partitions, false)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// PlainKeys returns the keys of the wire contract, without a namespace.
func PlainKeys(t *testing.T) keyspace.Keys {
	t.Helper()
	keys, err := keyspace.New("", keyspace.DefaultPartitions, false)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}
