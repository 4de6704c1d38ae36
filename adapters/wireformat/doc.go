// Package wireformat is the one codec of events: what they are called, how they are spelled as JSON, which versions of that
// spelling there were, and how an entry of the delivery stream is laid out. The log, the streams and the channels carry its
// bytes unchanged. It knows nothing of how they are carried.
//
// An event is one JSON object: first the common fields (eventId, type, v, timestamp, and for a durable event seq and ordinal; then
// correlationId, causationId and traceparent where there are any), then the event's own, the optional ones left out when
// empty. The order is part of the format: whoever finds seq and ordinal by their place never looks at a text that users wrote.
//
// What was recorded has happened, so an event of our own is read back without asking whether today's rules would still allow
// it; everything that Encode writes, Decode reads. What other programs publish is held to the rules of package domain.
package wireformat
