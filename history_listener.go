package chatcore

import (
	"sync/atomic"

	"chatcore/adapters/redis"
	"chatcore/app"
	"chatcore/app/entity"
	"chatcore/ports"
)

func newEntities(log app.Log, snapshots ports.Snapshots, c LogConfig, w *historyListener) *entity.Loader {
	entities := entity.NewLoader(log, snapshots, entity.CacheBytes(max(c.EntityCache, 0)))
	w.entities.Store(entities)
	return entities
}

// historyListener invalidates cached data of the log when Redis may have lost acknowledged writes.
type historyListener struct {
	entities atomic.Pointer[entity.Loader] // nil as long as nothing is cached
}

func newHistoryListener() *historyListener { return &historyListener{} }

func history(w *historyListener) redis.History {
	return redis.History{Epoch: w.epoch, Forget: w.forget}
}

func (w *historyListener) forget() {
	if entities := w.entities.Load(); entities != nil {
		entities.Invalidate()
	}
}

func (w *historyListener) epoch() uint64 {
	if entities := w.entities.Load(); entities != nil {
		return entities.Epoch()
	}
	return 0
}
