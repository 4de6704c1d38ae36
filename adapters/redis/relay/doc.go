// Package relay carries requests between the processes of a log over plain pub/sub of Redis. Each process has a channel for requests to it, and one for the
// answers to its own. Redis stores nothing: what a process does not hear is lost, and the asker hears nothing.
//
// A process whose connection was lost has no receiver until it has subscribed anew, so a request without a receiver is sent again for a while before the process
// counts as gone. On a Cluster, PUBLISH counts only the receivers of one node: the nodes are asked for theirs.
package relay
