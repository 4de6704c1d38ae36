// Package wireformat is the one codec of events: their names, their JSON, its versions, and the fields of an entry of the delivery stream. The log,
// the streams and the channels carry its bytes unchanged. It knows nothing of how they are carried.
//
// An event is one JSON object: first the common fields (eventId, type, v, timestamp, and for a durable event seq and ordinal; then correlationId,
// causationId and traceparent where there are any), then the event's own, the optional ones left out when empty. The order is part of the format: a
// reader that finds seq and ordinal by their place never parses text of users.
//
// The list of a chat may have an event in its compact form instead, from which the JSON is rebuilt byte for byte.
//
// A recorded event has happened, so an event of the core is decoded without checking today's rules; Decode reads everything that Encode writes.
// Events of other programs must meet the rules of package domain.
package wireformat
