// Package interop runs chatcore beside services in TypeScript. A Node program with the real node-redis follows the guide of the services' module, in
// both directions, and Socket.IO servers share the Redis. `make interop` installs the Node packages and runs the tests.
package interop
