// Package rig is what the tests of the adapters on Redis share: servers, clients, keys in new namespaces, appends, and dumps of everything that a server
// holds.
package rig
