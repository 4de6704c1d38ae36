// Package interop runs chatcore beside services in TypeScript: a Node program with the real node-redis does what the guide of the module that
// they use shows, in both directions, and Socket.IO servers share the Redis. `make interop` installs what the Node side needs and runs it.
package interop
