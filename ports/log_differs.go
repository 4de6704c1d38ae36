package ports

import (
	"errors"
	"fmt"
	"strings"
)

// ErrLogDiffers is returned when a log has other settings than this program; the error is a [*LogDiffersError].
var ErrLogDiffers = errors.New("the log has other settings")

// LogDiffersError names a setting on which all programs on a log must agree. The number of partitions and the hash are fixed for the log's life;
// core upgrade changes names.
type LogDiffersError struct {
	Setting            string // for example Redis.Names.Stream
	Stored, Configured string
}

func (e *LogDiffersError) Error() string {
	remedy := "use the stored one, or another namespace"
	if strings.HasPrefix(e.Setting, "Redis.Names.") {
		remedy += ", or change it with core upgrade --name"
	}
	return fmt.Sprintf("%v: %s is %s in Redis and %s here; %s", ErrLogDiffers, e.Setting, e.Stored, e.Configured, remedy)
}

// Is reports that a LogDiffersError is [ErrLogDiffers].
func (e *LogDiffersError) Is(target error) bool { return target == ErrLogDiffers }
