package chatcore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"time"

	"chatcore/adapters/pubsub/group"
	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports"
)

// Definition is a type of custom durable events, with data of type T: recorded by [app.Chats.Record] in a chat's log among the
// core's events, with seqs of the same row, delivered and announced as they are. Data is written as encoding/json writes a T,
// which has to be one JSON object.
//
// Make one for each type with [Define], usually as a variable of a package. It does not change.
type Definition[T any] struct {
	typ       domain.CustomType
	version   int
	validate  func(T) error
	upcasters map[int]wireformat.Upcaster
}

// Define names a type of events, such as "poll:created", and the version in which it is written, from 1 on. A name that is not allowed
// (see [domain.CustomType]), one that is reserved for the core because it begins with chat:, member:, message:, read:, thread:, typing: or user:, and a
// version below 1 are mistakes of the program and panic.
func Define[T any](typ string, version int) Definition[T] {
	if err := wireformat.CheckCustomType(domain.CustomType(typ)); err != nil {
		panic("chatcore.Define: " + err.Error())
	}
	if version < 1 {
		panic(fmt.Sprintf("chatcore.Define: version of %s is %d; allowed: a version from 1 on", typ, version))
	}
	return Definition[T]{typ: domain.CustomType(typ), version: version}
}

// Validated gives the same definition with a check of the data, before it is recorded and when it is read.
func (d Definition[T]) Validated(check func(T) error) Definition[T] {
	d.validate = check
	return d
}

// Upcast returns the definition with a conversion of an older version's data to that of the next, in place: recorded events stay as they are and are
// read as the present version.
func (d Definition[T]) Upcast(from int, up func(fields map[string]json.RawMessage) error) Definition[T] {
	d.upcasters = maps.Clone(d.upcasters)
	if d.upcasters == nil {
		d.upcasters = make(map[int]wireformat.Upcaster)
	}
	d.upcasters[from] = up
	return d
}

// Type is the name of the type, and of the channel on which its events are announced.
func (d Definition[T]) Type() string { return string(d.typ) }

// Of is an event with the given data, for [domain.Record]. Data that does not encode or is not valid makes Record fail with an
// [*CustomEventError].
func (d Definition[T]) Of(data T) domain.CustomEvent { return customEvent[T]{d, data} }

type customEvent[T any] struct {
	definition Definition[T]
	data       T
}

// Custom implements [domain.CustomEvent].
func (e customEvent[T]) Custom() (domain.Custom, error) {
	d := e.definition
	if err := d.check(e.data); err != nil {
		return domain.Custom{}, d.wrong(d.version, "is not valid", err)
	}
	data, err := encode(e.data)
	if err != nil {
		return domain.Custom{}, d.wrong(d.version, "does not encode", err)
	}
	if len(data) == 0 || data[0] != '{' {
		return domain.Custom{}, d.wrong(d.version, "does not encode as a JSON object", nil)
	}
	return domain.Custom{Type: d.typ, Version: d.version, Data: string(data)}, nil
}

// encode turns the panic of a custom encoder into an error.
func encode(v any) (data []byte, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the encoder panicked: %v", r)
		}
	}()
	return json.Marshal(v)
}

func (d Definition[T]) check(data T) error {
	if d.validate == nil {
		return nil
	}
	return d.validate(data)
}

// Decode reads the data of a recorded event, brought up to the present version. An error is an [*CustomEventError]; for a version above the definition's
// it is [ports.ErrNewerVersion] too.
func (d Definition[T]) Decode(e domain.Custom) (T, error) {
	var data T
	raw := []byte(e.Data)
	switch {
	case e.Type != d.typ:
		return data, d.wrong(e.Version, "is of the type "+string(e.Type), nil)
	case e.Version > d.version:
		return data, d.wrong(e.Version, fmt.Sprintf("is of a later program; allowed: 1 to %d", d.version), ports.ErrNewerVersion)
	case e.Version < d.version:
		var fields map[string]json.RawMessage
		err := json.Unmarshal(raw, &fields)
		if err == nil {
			err = wireformat.Upcast(fields, e.Version, d.version, d.upcasters)
		}
		if err == nil {
			raw, err = json.Marshal(fields)
		}
		if err != nil {
			return data, d.wrong(e.Version, "does not come up to the present version", err)
		}
	}
	if err := json.Unmarshal(raw, &data); err != nil {
		return data, d.wrong(e.Version, "does not decode", err)
	}
	if err := d.check(data); err != nil {
		return data, d.wrong(e.Version, "is not valid", err)
	}
	return data, nil
}

// ErrCustomEvent is a custom event that cannot be recorded or read; the error is an [*CustomEventError].
var ErrCustomEvent = errors.New("custom event")

// CustomEventError names the problem of a custom event.
type CustomEventError struct {
	Type    string
	Version int
	Problem string
	Cause   error // may be nil
}

func (e *CustomEventError) Error() string {
	text := fmt.Sprintf("%s v%d %s", e.Type, e.Version, e.Problem)
	if e.Cause != nil {
		text += ": " + e.Cause.Error()
	}
	return text
}

// Is reports that an CustomEventError is [ErrCustomEvent].
func (e *CustomEventError) Is(target error) bool { return target == ErrCustomEvent }

// Unwrap gives the cause.
func (e *CustomEventError) Unwrap() error { return e.Cause }

func (d Definition[T]) wrong(version int, problem string, cause error) error {
	return &CustomEventError{Type: string(d.typ), Version: version, Problem: problem, Cause: cause}
}

// CustomDelivery is a custom event given to a handler of a consumer group, as a [Delivery] is.
type CustomDelivery[T any] struct {
	ID      DeliveryID
	Chat    domain.ChatID
	Actor   domain.UserID
	Entity  domain.CustomID // the moved entity, "" if none
	Event   T
	At      time.Time
	Ordinal domain.Ordinal
	Meta    ports.Meta

	Attempt     int
	Redelivered bool
	Epoch       uint64
	Appended    time.Time
}

// On handles the events of the definition as [On] does those of the core. An event that cannot be read becomes a dead letter at once, unless a later
// version of the program wrote it: then its chat waits for a process that can read it.
func (d Definition[T]) On(handle func(ctx context.Context, d CustomDelivery[T]) error) SubscribeOption {
	return func(s *registration) {
		s.err = errors.Join(s.err, noHandler("On of "+string(d.typ), handle == nil))
		s.handle(string(d.typ), func(ctx context.Context, in ports.Delivery) error {
			own, _ := in.Event.(domain.Custom)
			data, err := d.Decode(own)
			switch {
			case in.ID.Seq > 0 && errors.Is(err, ports.ErrNewerVersion):
				return err
			case err != nil:
				return group.Permanent(err)
			}
			return handle(ctx, CustomDelivery[T]{
				ID: DeliveryID(in.ID), Chat: own.Chat, Actor: own.Actor, Entity: own.Entity, Event: data, At: own.At,
				Ordinal: in.Ordinal, Meta: in.Meta,
				Attempt: in.Attempt, Redelivered: in.Redelivered, Epoch: in.Epoch, Appended: in.Appended,
			})
		})
	}
}

// OnLive handles the live events of the definition, as [OnLive] does those of the core. Events that cannot be read are left out.
func (d Definition[T]) OnLive(handle func(ctx context.Context, l CustomDelivery[T])) LiveHandler {
	return LiveHandler{types: []string{string(d.typ)}, err: noHandler("OnLive of "+string(d.typ), handle == nil), handle: func(ctx context.Context, in wireformat.Incoming) {
		own, _ := in.Event.(domain.Custom)
		data, err := d.Decode(own)
		if err != nil {
			return
		}
		handle(ctx, CustomDelivery[T]{
			ID:   DeliveryID{Chat: own.Chat, Seq: in.Seq, Event: in.ID},
			Chat: own.Chat, Actor: own.Actor, Entity: own.Entity, Event: data, At: own.At, Ordinal: in.Ordinal, Meta: in.Meta,
		})
	}}
}
