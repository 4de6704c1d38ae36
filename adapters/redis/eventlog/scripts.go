package eventlog

import (
	_ "embed"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/redis/limit"
)

var (
	//go:embed script/append.lua
	appendSource string
	//go:embed script/send.lua
	sendSource string
	//go:embed script/erase_message.lua
	eraseMessageSource string
	//go:embed script/plain.lua
	plainSource string
	//go:embed script/plain_end.lua
	plainEndSource string
	//go:embed script/chat.lua
	chatSource string
	//go:embed script/skip.lua
	skipSource string
	//go:embed script/load.lua
	loadSource string
	//go:embed script/marks.lua
	marksSource string
	//go:embed script/unread.lua
	unreadSource string
	//go:embed script/members.lua
	membersSource string
	//go:embed script/read.lua
	readSource string
	//go:embed script/search.lua
	searchSource string
	//go:embed script/last.lua
	lastSource string
	//go:embed script/activity.lua
	activitySource string
	//go:embed script/previews.lua
	previewsSource string
	//go:embed script/rows.lua
	rowsSource string
	//go:embed script/backlog.lua
	backlogSource string
	//go:embed script/heads.lua
	headsSource string
	//go:embed script/snapshot.lua
	snapshotSource string
	//go:embed script/vault_note.lua
	vaultNoteSource string
	//go:embed script/erase_content.lua
	eraseContentSource string
	//go:embed script/rule_change.lua
	ruleChangeSource string
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
	//go:embed script/rewrite.lua
	rewriteSource string
	//go:embed script/restore.lua
	restoreSource string
	//go:embed script/fsck_page.lua
	fsckPageSource string
	//go:embed script/fsck_fix.lua
	fsckFixSource string
	//go:embed script/fsck_list.lua
	fsckListSource string
	//go:embed script/fsck_stream.lua
	fsckStreamSource string
)

// scripts holds the scripts of the log. Each is called by its hash, and by its text if Redis does not have it.
type scripts struct {
	append, send, eraseMessage, load, read, search, last, activity, previews, rows, unread, members, backlog, heads, snapshot, witness, vaultNote, ruleChange, eraseContent *goredis.Script
}

func newScripts() scripts {
	return scripts{
		append:       goredis.NewScript(limit.TakeScript + appendSource),
		send:         goredis.NewScript(plainSource + sendSource + plainEndSource),
		eraseMessage: goredis.NewScript(plainSource + eraseMessageSource + plainEndSource),
		load:         goredis.NewScript(chatSource + skipSource + loadSource),
		read:         goredis.NewScript(chatSource + readSource),
		unread:       goredis.NewScript(chatSource + marksSource + unreadSource),
		members:      goredis.NewScript(chatSource + marksSource + membersSource),
		search:       goredis.NewScript(chatSource + searchSource),
		last:         goredis.NewScript(chatSource + lastSource),
		activity:     goredis.NewScript(activitySource),
		previews:     goredis.NewScript(chatSource + previewsSource),
		rows:         goredis.NewScript(chatSource + marksSource + rowsSource),
		backlog:      goredis.NewScript(chatSource + backlogSource),
		heads:        goredis.NewScript(headsSource),
		snapshot:     goredis.NewScript(snapshotSource),
		witness:      goredis.NewScript(witnessSource),

		vaultNote:  goredis.NewScript(vaultNoteSource),
		ruleChange: goredis.NewScript(ruleChangeSource),

		eraseContent: goredis.NewScript(eraseContentSource),
	}
}
