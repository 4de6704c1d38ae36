// Package helpers has what the TypeScript services' module of helpers offers: values, counters and sets of the caller in Redis, and messages on
// channels. A core provides them as Core.Helpers; in a core in memory they are in memory.
//
// The namespace goes before keys and channels; names are otherwise unchanged, because other programs use them. Ids go into a key by
// chatcore.EscapeKey. Keys of the event log are refused. Values are JSON, as JSON.stringify writes it.
//
// Methods return their errors: [domain.ErrInvalid] for values that no store accepts, [ports.ErrForeignValue] for a key that holds another kind of
// value, [ports.ErrUnavailable] without Redis. [Client.Lenient] returns defaults instead, as the TypeScript helpers do. See also [Get], [GetOrSet] and
// [SubscribeTo].
//
// The package knows the ports of its stores and a Watermill transport; it knows neither Redis nor the core.
package helpers
