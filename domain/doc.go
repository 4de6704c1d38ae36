// Package domain holds the rules of a chat: which commands are allowed, and which events they cause.
//
// It is pure. Time and ids are arguments; nothing here waits, reads a clock, draws a random number, or knows how an event is stored or spelled on a
// wire. Methods that decide return the events to record and leave their receiver as it was; Apply methods fold one recorded event into a state and
// never fail, because a recorded event has happened.
//
// The package also has the words of the API: ids, events, commands ([Create], [Send] and the others, which package app carries out), selections of
// answers ([Span], [Page]), and the refusals.
//
// A chat is the unit of order: its durable events have dense sequence numbers 1, 2, 3, …. An [Entity] inside a chat is the unit
// of consistency: a decision depends on the entities it was taken on and moves the entities its events name (see [Moves]).
package domain
