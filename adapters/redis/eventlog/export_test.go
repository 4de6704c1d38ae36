package eventlog

import (
	"context"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/redis/conn"
	"chatcore/adapters/redis/keyspace"
	"chatcore/adapters/redis/limit"
)

// UpgradeBy is Upgrade in a program that knows other levels.
func UpgradeBy(ctx context.Context, client goredis.UniversalClient, keys keyspace.Keys, c UpgradeConfig, known int) ([]UpgradeStep, error) {
	return upgrade(ctx, conn.Unwrap(client), keys.Log(), c, known)
}

// RaiseWitnesses raises the witnesses at once; a timer would do it a second later.
func (l *Log) RaiseWitnesses(ctx context.Context) { l.witnesses.raiseAll(ctx) }

// Sources returns the texts of the scripts as they are sent to Redis.
func Sources() map[string]string {
	return map[string]string{
		"append": limit.TakeScript + appendSource, "send": plainSource + sendSource + plainEndSource, "erase_message": plainSource + eraseMessageSource + plainEndSource, "load": chatSource + skipSource + loadSource, "read": chatSource + readSource, "unread": chatSource + marksSource + unreadSource, "members": chatSource + marksSource + membersSource,
		"search": chatSource + searchSource, "last": chatSource + lastSource, "backlog": chatSource + backlogSource, "activity": activitySource, "previews": chatSource + previewsSource, "rows": chatSource + marksSource + rowsSource, "heads": headsSource,
		"snapshot": snapshotSource, "vault_note": vaultNoteSource, "rule_change": ruleChangeSource, "erase_content": eraseContentSource, "witness": witnessSource, "confirm": confirmSource, "probe": probeSource, "identify": identifySource, "raise": raiseSource, "rewrite": rewriteSource, "restore": restoreSource,
		"fsck_page": fsckPageSource, "fsck_fix": fsckFixSource, "fsck_list": fsckListSource, "fsck_stream": fsckStreamSource,
	}
}
