// Package pubsub is Watermill's edge of delivery: any Watermill handler and middleware can handle the events of a consumer group, in a Watermill router or
// without one.
//
// [Subscriber] is Watermill's Subscriber over members of package group. [Router] runs groups: [Router.AddGroup] those of Watermill handlers, and
// [Router.AddCalls] those of plain functions, which take no part of Watermill. [Handlers] chooses the handler of an event's type.
//
// The package decides nothing about deliveries and keeps no state of groups: package delivery decides, and a groups.Store keeps.
package pubsub
