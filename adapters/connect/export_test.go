package connect

import (
	"context"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"chatcore/app/feed"
)

// ServiceDescriptors returns the services that New serves.
func ServiceDescriptors() []protoreflect.ServiceDescriptor {
	var all []protoreflect.ServiceDescriptor
	for _, s := range services(&calls{}) {
		all = append(all, s.descriptor)
	}
	return all
}

// PageToken returns a token with a cursor for the list that a request selects.
func PageToken(req proto.Message, cursor string) string {
	get := func(name protoreflect.Name) protoreflect.Value {
		if f := req.ProtoReflect().Descriptor().Fields().ByName(name); f != nil {
			return req.ProtoReflect().Get(f)
		}
		return protoreflect.Value{}
	}
	chat, actor, user, at := get("chat_id").String(), get("actor_id").String(), get("user_id").String(), uint32(1)
	switch name := string(req.ProtoReflect().Descriptor().Name()); name {
	case "ListMembersRequest", "ListMessagesRequest":
		return tokensOf(name[:len(name)-len("Request")], chat, actor, at).token(cursor)
	case "ListEntityEventsRequest":
		return tokensOf("ListEntityEvents", chat, actor, at, get("entity_id").String()).token(cursor)
	case "ListChatsRequest", "ListChatIdsRequest", "ListContactsRequest", "ListBlockedRequest":
		return tokensOf(name[:len(name)-len("Request")], user).token(cursor)
	}
	return cursor
}

// FeedSource is what a handler serves as a feed.
type FeedSource = feedSource

// WithFeeds returns the configuration of a handler that opens feeds by a function instead of its core.
func (c Config) WithFeeds(open func(ctx context.Context, r feed.Request) (FeedSource, error)) Config {
	c.openFeed = open
	return c
}

// WithHeartbeat returns the configuration of a handler whose streams of Consume have a heartbeat after a silence of d.
func (c Config) WithHeartbeat(d time.Duration) Config {
	c.heartbeat = d
	return c
}
