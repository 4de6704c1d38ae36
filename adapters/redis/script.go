package redis

import (
	_ "embed"

	goredis "github.com/redis/go-redis/v9"
)

var (
	//go:embed script/append.lua
	appendSource string
	//go:embed script/take.lua
	takeSource string
	//go:embed script/chat.lua
	chatSource string
	//go:embed script/skip.lua
	skipSource string
	//go:embed script/load.lua
	loadSource string
	//go:embed script/unread.lua
	unreadSource string
	//go:embed script/read.lua
	readSource string
	//go:embed script/search.lua
	searchSource string
	//go:embed script/last.lua
	lastSource string
	//go:embed script/activity.lua
	activitySource string
	//go:embed script/backlog.lua
	backlogSource string
	//go:embed script/heads.lua
	headsSource string
	//go:embed script/snapshot.lua
	snapshotSource string
	//go:embed script/confirm.lua
	confirmSource string
	//go:embed script/witness.lua
	witnessSource string
	//go:embed script/probe.lua
	probeSource string
	//go:embed script/identify.lua
	identifySource string
	//go:embed script/raise.lua
	raiseSource string
	//go:embed script/typing.lua
	typingSource string
	//go:embed script/typing_list.lua
	typingListSource string
	//go:embed script/limit.lua
	limitSource string
	//go:embed script/limits.lua
	limitsSource string
	//go:embed script/once.lua
	onceSource string
	//go:embed script/view.lua
	viewSource string
	//go:embed script/presence.lua
	presenceSource string
	//go:embed script/presence_ends.lua
	presenceEndsSource string
	//go:embed script/due.lua
	dueSource string
	//go:embed script/lead.lua
	leadSource string
	//go:embed script/cache_lease.lua
	cacheLeaseSource string
	//go:embed script/cache_put.lua
	cachePutSource string
	//go:embed script/cache_invalidate.lua
	cacheInvalidateSource string
	//go:embed script/session_open.lua
	sessionOpenSource string
	//go:embed script/session_use.lua
	sessionUseSource string
	//go:embed script/session_list.lua
	sessionListSource string
	//go:embed script/session_close.lua
	sessionCloseSource string
	//go:embed script/fsck_page.lua
	fsckPageSource string
	//go:embed script/fsck_fix.lua
	fsckFixSource string
	//go:embed script/fsck_list.lua
	fsckListSource string
	//go:embed script/fsck_stream.lua
	fsckStreamSource string
	//go:embed script/fsck_view.lua
	fsckViewSource string
	//go:embed script/count.lua
	countSource string
)

// scripts holds the scripts of the log. Each is called by its hash, and by its text if Redis does not have it.
type scripts struct {
	append, load, read, search, last, activity, unread, backlog, heads, snapshot, witness *goredis.Script
}

func newScripts() scripts {
	return scripts{
		append:   goredis.NewScript(takeSource + appendSource),
		load:     goredis.NewScript(chatSource + skipSource + loadSource),
		read:     goredis.NewScript(chatSource + readSource),
		unread:   goredis.NewScript(chatSource + unreadSource),
		search:   goredis.NewScript(chatSource + searchSource),
		last:     goredis.NewScript(chatSource + lastSource),
		activity: goredis.NewScript(activitySource),
		backlog:  goredis.NewScript(chatSource + backlogSource),
		heads:    goredis.NewScript(headsSource),
		snapshot: goredis.NewScript(snapshotSource),
		witness:  goredis.NewScript(witnessSource),
	}
}
