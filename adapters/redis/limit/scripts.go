package limit

import _ "embed"

var (
	// TakeScript takes limits. It defines functions, for scripts that follow it in the same text.
	//
	//go:embed script/take.lua
	TakeScript string
	//go:embed script/limit.lua
	limitSource string
	//go:embed script/limits.lua
	limitsSource string
)
